# The image of Belfry: one static program and nothing else. It builds for any platform on the machine's own.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux TARGETARCH VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -tags grpcnotrace -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=v${VERSION#v}" -o /belfry ./cmd/belfry

FROM scratch
COPY --from=build /belfry /belfry
USER 65532:65532
ENTRYPOINT ["/belfry"]
