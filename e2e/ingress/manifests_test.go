package ingress

import (
	"fmt"
	"strings"
)

// traefik is two replicas on two nodes, behind a Service that keeps the client's address.
func traefik() string {
	return strings.ReplaceAll(`apiVersion: v1
kind: ServiceAccount
metadata: {name: traefik, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: traefik}
rules:
- {apiGroups: [""], resources: [services, secrets, nodes, configmaps, namespaces], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [update]}
- {apiGroups: [gateway.networking.k8s.io], resources: [gatewayclasses, gateways, httproutes, grpcroutes, referencegrants, backendtlspolicies], verbs: [get, list, watch]}
- {apiGroups: [gateway.networking.k8s.io], resources: [gatewayclasses/status, gateways/status, httproutes/status, grpcroutes/status], verbs: [update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: traefik}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: traefik}
subjects: [{kind: ServiceAccount, name: traefik, namespace: default}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: traefik}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: traefik}
spec:
  replicas: 2
  selector: {matchLabels: {app: traefik}}
  template:
    metadata: {labels: {app: traefik}}
    spec:
      serviceAccountName: traefik
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: traefik}}}
      containers:
      - name: traefik
        image: IMAGE
        imagePullPolicy: Never
        args:
        - --global.checknewversion=false
        - --global.sendanonymoususage=false
        - --entrypoints.web.address=:8000
        - --ping=true
        - --providers.kubernetesingress=true
        - --providers.kubernetesingress.ingressclass=traefik
        - --providers.kubernetesingress.ingressendpoint.publishedservice=default/traefik
        - --providers.kubernetesgateway=true
        - --providers.kubernetesgateway.statusaddress.service.namespace=default
        - --providers.kubernetesgateway.statusaddress.service.name=traefik
        - --serverstransport.forwardingtimeouts.dialtimeout=1s
        ports: [{name: web, containerPort: 8000}]
        readinessProbe:
          httpGet: {path: /ping, port: 8080}
          periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata: {name: traefik}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: traefik}
  ports: [{name: web, port: 80, targetPort: web}]
`, "IMAGE", traefikImage)
}

// routes sends two hosts to two backends, and two paths of a third host.
func routes() string {
	backend := func(app string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s}\nspec: {selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n", app)
	}
	rule := func(host, path, app string) string {
		return fmt.Sprintf("  - host: %s\n    http: {paths: [{path: %s, pathType: Exact, backend: {service: {name: %s, port: {name: http}}}}]}\n", host, path, app)
	}
	return backend("first") + backend("second") + "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: pages}\nspec:\n  ingressClassName: traefik\n  rules:\n" +
		rule("first.example", "/", "first") + rule("second.example", "/", "second") +
		rule("both.example", "/", "first") + rule("both.example", "/stream", "second")
}
