package cli

import (
	"regexp"
	"strings"
)

// hidden stands for what was taken out.
const hidden = "<removed>"

// scrubObject takes out of an object what may be secret: values of variables, arguments and fields whose name speaks of a
// secret, annotations of others, and kubectl's own copy of the object.
func scrubObject(o map[string]any) {
	if m, ok := o["metadata"].(map[string]any); ok {
		delete(m, "managedFields")
		scrubAnnotations(m)
	}
	scrubFields(o)
}

// scrubAnnotations keeps the values of annotations that are known to hold none.
func scrubAnnotations(m map[string]any) {
	annotations, ok := m["annotations"].(map[string]any)
	if !ok {
		return
	}
	for name := range annotations {
		if !harmless(name) {
			annotations[name] = hidden
		}
	}
}

func harmless(annotation string) bool {
	if strings.HasSuffix(annotation, "last-applied-configuration") {
		return false
	}
	for _, prefix := range []string{"belfry.dev/", "metallb.io/", "metallb.universe.tf/", "service.kubernetes.io/", "node.alpha.kubernetes.io/", "deployment.kubernetes.io/", "deprecated.daemonset.template.generation"} {
		if strings.HasPrefix(annotation, prefix) {
			return true
		}
	}
	return false
}

// scrubFields goes through everything. An env entry keeps its name alone.
func scrubFields(v any) {
	switch v := v.(type) {
	case []any:
		after := false // a flag whose value is a secret
		for i, x := range v {
			text, isText := x.(string)
			hide := after
			after = isText && isFlag(text)
			switch {
			case isText && hide:
				v[i] = hidden
			case isText:
				v[i] = string(scrubText([]byte(text)))
			default:
				scrubFields(x)
			}
		}
	case map[string]any:
		for name, x := range v {
			switch text, isText := x.(string); {
			case isText && secretive(name):
				v[name] = hidden
			case name == "env":
				scrubEnv(x)
			case name == "annotations":
				scrubAnnotations(v)
			case isText:
				v[name] = string(scrubText([]byte(text)))
			default:
				scrubFields(x)
			}
		}
	}
}

// isFlag tells whether the next argument is a secret.
func isFlag(s string) bool {
	return strings.HasPrefix(s, "-") && !strings.ContainsAny(s, "= ") && secretive(s)
}

func scrubEnv(v any) {
	list, _ := v.([]any)
	for _, x := range list {
		if e, ok := x.(map[string]any); ok && e["value"] != nil {
			e["value"] = hidden
		}
	}
}

// secretive tells whether a field's name speaks of a secret. Names of Secrets are none: secretName, passwordSecret.name.
func secretive(name string) bool {
	n := strings.ToLower(name)
	if strings.HasSuffix(n, "name") || strings.HasSuffix(n, "ref") {
		return false
	}
	for _, word := range []string{"password", "passwd", "passphrase", "token", "secret", "apikey", "privatekey", "credential"} {
		if strings.Contains(n, word) {
			return true
		}
	}
	return false
}

// scrubText takes out of free text what looks like a secret.
func scrubText(text []byte) []byte {
	for _, s := range secretsInText() {
		text = s.what.ReplaceAll(text, []byte(s.with))
	}
	return text
}

type replacement struct {
	what *regexp.Regexp
	with string
}

// secretsInText: keys in PEM, JSON Web Tokens, what follows "Bearer", passwords in URLs, and values of names that speak of
// a secret, as flags, JSON, YAML and logs write them.
func secretsInText() []replacement {
	return []replacement{
		{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`), hidden},
		{regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`), hidden},
		{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`), "$1 " + hidden},
		{regexp.MustCompile(`(://[^\s/:@"']+:)[^\s/@"']+@`), "${1}" + hidden + "@"},
		{regexp.MustCompile(`(?i)(--?[a-z-]*(?:password|passphrase|token|secret|key)[a-z-]*\s+)([^\s"'<-][^\s"']*)`), "${1}" + hidden},
		{regexp.MustCompile(`(?i)((?:password|passwd|passphrase|token|(?:secret|api|access|private)[-_]?key|credentials?|(?:^|[^a-z])secret)\\?["']?\s*[=:]\s*)(\\"[^"\\]*|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;}\\<]+)`), "${1}" + hidden},
	}
}
