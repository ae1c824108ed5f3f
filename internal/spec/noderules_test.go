package spec

import (
	"strings"
	"testing"
)

// TestNodeRules writes a node as its marks: r ready, x labelled, d draining, c cordoned.
func TestNodeRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules NodeRules
		nodes string
		want  string
		told  bool
	}{
		{name: "no nodes"},
		{name: "auto: one without the label is ready", nodes: "rx r", want: "rx r"},
		{name: "auto: every ready node has it", nodes: "rx rx", want: "r r", told: true},
		{name: "auto: the one without it is not ready", nodes: "rx - x", want: "r - -", told: true},
		{name: "auto: nobody is ready", nodes: "x x", want: "x x"},
		{name: "auto: a single node", nodes: "rx", want: "r", told: true},
		{name: "auto: a draining node without the label is a node", nodes: "rx rd", want: "rx rd"},
		{name: "honour", rules: NodeRules{Exclude: ExcludeHonour}, nodes: "rx rx", want: "rx rx"},
		{name: "ignore", rules: NodeRules{Exclude: ExcludeIgnore}, nodes: "rx r x", want: "r r -"},
		{name: "cordoned is not draining", nodes: "rc", want: "rc"},
		{name: "cordoned is draining where opted in", rules: NodeRules{DrainOnCordon: true}, nodes: "rc r d", want: "rdc r d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var nodes []*Node
			for marks := range strings.FieldsSeq(c.nodes) {
				has := func(m string) bool { return strings.Contains(marks, m) }
				nodes = append(nodes, &Node{Ready: has("r"), Excluded: has("x"), Draining: has("d"), Cordoned: has("c")})
			}
			if told := c.rules.Apply(nodes); told != c.told {
				t.Errorf("told %v", told)
			}
			var got []string
			for _, n := range nodes {
				got = append(got, marksOf(n))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%q, want %q", s, c.want)
			}
		})
	}
}

func marksOf(n *Node) string {
	var s string
	for _, m := range []struct {
		is   bool
		mark string
	}{{n.Ready, "r"}, {n.Excluded, "x"}, {n.Draining, "d"}, {n.Cordoned, "c"}} {
		if m.is {
			s += m.mark
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

func TestExcludeLabelFlag(t *testing.T) {
	for _, word := range []string{"auto", "honour", "ignore"} {
		var e ExcludeLabel
		if err := e.Set(word); err != nil || e.String() != word {
			t.Errorf("%s: %v, %v", word, e, err)
		}
	}
	e := ExcludeIgnore
	if err := e.Set("sometimes"); err == nil || e != ExcludeIgnore {
		t.Errorf("%v, %v", e, err)
	}
}
