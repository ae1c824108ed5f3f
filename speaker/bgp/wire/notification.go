package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error codes of NOTIFICATION, section 4.5.
const (
	CodeHeader   = 1
	CodeOpen     = 2
	CodeUpdate   = 3
	CodeHoldTime = 4
	CodeFSM      = 5
	CodeCease    = 6
)

// Subcodes of Cease (RFC 4486, RFC 8538, RFC 9384).
const (
	CeaseShutdown    = 2
	CeaseRejected    = 5
	CeaseOtherChange = 6
	CeaseBFDDown     = 10
)

// Notification says why a session ends. It is an error: a parser's findings are answered with it.
type Notification struct { //nolint:errname // a message in the first place, and only then an error
	Code, Subcode uint8
	Data          []byte
}

// ParseNotification reads the body of a NOTIFICATION, which is at least two bytes long.
func ParseNotification(body []byte) Notification {
	if len(body) < 2 {
		return Notification{}
	}
	return Notification{Code: body[0], Subcode: body[1], Data: append([]byte(nil), body[2:]...)}
}

// Shutdown returns Cease with a text for the other end's operator, cut to the 255 bytes of RFC 9003.
func Shutdown(text string) *Notification {
	for len(text) > 255 {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return &Notification{Code: CodeCease, Subcode: CeaseShutdown, Data: append([]byte{byte(len(text))}, text...)}
}

// Append appends the whole message.
func (n Notification) Append(b []byte) []byte {
	return Append(b, TypeNotification, append([]byte{n.Code, n.Subcode}, n.Data[:min(len(n.Data), MaxLen-HeaderLen-2)]...))
}

// Error puts the notification into words: code, subcode and, where there is one, the operator's text.
func (n *Notification) Error() string {
	words := n.words()
	if text := n.Text(); text != "" {
		words += fmt.Sprintf(": %q", text)
	}
	return fmt.Sprintf("%s (%d/%d)", words, n.Code, n.Subcode)
}

// Text returns the operator's message of a shutdown or reset (RFC 9003), without what a terminal would act upon.
func (n *Notification) Text() string {
	if n.Code != CodeCease || n.Subcode != CeaseShutdown && n.Subcode != 4 || len(n.Data) == 0 {
		return ""
	}
	text := n.Data[1:]
	text = text[:min(int(n.Data[0]), len(text))]
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(text), ""))
}

func (n *Notification) words() string {
	code, subs := codeWords(n.Code)
	if int(n.Subcode) < len(subs) && subs[n.Subcode] != "" {
		return code + ", " + subs[n.Subcode]
	}
	return code
}

// codeWords names a code and its subcodes, which are numbered from 1.
func codeWords(code uint8) (name string, subcodes []string) {
	switch code {
	case CodeHeader:
		return "message header error", []string{"", "connection not synchronized", "bad message length", "bad message type"}
	case CodeOpen:
		return "OPEN refused", []string{
			"", "unsupported version", "bad peer AS", "bad BGP identifier", "unsupported optional parameter", "authentication failure",
			"unacceptable hold time", "unsupported capability", "", "", "", "role mismatch",
		}
	case CodeUpdate:
		return "UPDATE refused", []string{
			"", "malformed attribute list", "unrecognized well-known attribute", "missing well-known attribute", "attribute flags error",
			"attribute length error", "invalid ORIGIN", "AS routing loop", "invalid NEXT_HOP", "optional attribute error",
			"invalid network field", "malformed AS_PATH",
		}
	case CodeHoldTime:
		return "hold timer expired", nil
	case CodeFSM:
		return "state machine error", []string{"", "unexpected message in OpenSent", "unexpected message in OpenConfirm", "unexpected message in Established"}
	case CodeCease:
		return "cease", []string{
			"", "maximum number of prefixes reached", "administrative shutdown", "peer de-configured", "administrative reset",
			"connection rejected", "other configuration change", "connection collision resolution", "out of resources", "hard reset", "BFD down",
		}
	}
	return "unknown error", nil
}
