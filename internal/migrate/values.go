package migrate

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime"
)

type runtimeObject = runtime.Object

// text returns a string, "" for anything else.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// texts returns the strings of a list.
func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// objects returns the maps of a list.
func objects(list []any) (out []map[string]any) {
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// integer returns a number however it was decoded, 0 for anything else.
func integer(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case int:
		return int64(n)
	case float64:
		return int64(n)
	case json.Number:
		i, _ := n.Int64()
		return i
	}
	return 0
}
