package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/internal/explain"
)

// style colours words where somebody looks at them.
type style struct{ on bool }

func styleFor(w io.Writer) style {
	return style{isTerminal(w) && os.Getenv("NO_COLOR") == ""}
}

func (s style) paint(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bad(t string) string  { return s.paint("31", t) }
func (s style) warn(t string) string { return s.paint("33", t) }
func (s style) good(t string) string { return s.paint("32", t) }
func (s style) bold(t string) string { return s.paint("1", t) }
func (s style) dim(t string) string  { return s.paint("2", t) }

// state paints a text in the colour of a state.
func (s style) state(st explain.State, text string) string {
	switch st {
	case explain.Broken:
		return s.bad(text)
	case explain.Note:
		return s.warn(text)
	}
	return s.good(text)
}

func mark(st explain.State) string {
	switch st {
	case explain.Broken:
		return "✗"
	case explain.Note:
		return "!"
	}
	return "✓"
}

// cell is a text with how it stands with it.
type cell struct {
	text  string
	state explain.State // "": nothing to say about it
}

func plain(format string, args ...any) cell { return cell{text: fmt.Sprintf(format, args...)} }

func good(ok bool, yes, no string) cell {
	if ok {
		return cell{yes, explain.OK}
	}
	return cell{no, explain.Broken}
}

// table is rows under titles; the columns from wide on are shown with -o wide.
type table struct {
	titles []string
	wide   int
	rows   [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// widths returns how wide each column is.
func (t *table) widths(columns int) []int {
	w := make([]int, columns)
	for i := range w {
		w[i] = utf8.RuneCountInString(t.titles[i])
		for _, r := range t.rows {
			w[i] = max(w[i], utf8.RuneCountInString(r[i].text))
		}
	}
	return w
}

func (t *table) columns(wide bool) int {
	if wide {
		return len(t.titles)
	}
	return t.wide
}

func (t *table) writeTo(out io.Writer, s style, wide bool) error {
	columns := t.columns(wide)
	w := t.widths(columns)
	var b strings.Builder
	head := make([]cell, columns)
	for i := range head {
		head[i].text = t.titles[i]
	}
	line(&b, style{}, head, w, "")
	for _, r := range t.rows {
		line(&b, s, r[:columns], w, "-")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func line(b *strings.Builder, s style, cells []cell, widths []int, none string) {
	for i, c := range cells {
		text := c.text
		if c.text == "" {
			text = none
		}
		pad := widths[i] - utf8.RuneCountInString(text)
		if c.state != "" {
			text = s.state(c.state, text)
		}
		b.WriteString(text)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(pad, 0)+3))
		}
	}
	b.WriteString("\n")
}

// output is the flag -o.
type output struct{ format string }

func (o *output) addFlag(cmd *cobra.Command, formats ...string) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "", strings.Join(formats, "|"))
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)))
}

func (o *output) wide() bool { return o.format == "wide" }

// value prints a value where -o asks for one; false when it does not.
func (o *output) value(w io.Writer, v any) (bool, error) {
	var b []byte
	var err error
	switch o.format {
	case "", "wide":
		return false, nil
	case "json":
		if b, err = json.MarshalIndent(v, "", "  "); err == nil {
			b = append(b, '\n')
		}
	case "yaml":
		b, err = yaml.Marshal(v)
	default:
		err = fmt.Errorf("-o %s: write wide, json or yaml", o.format)
	}
	if err != nil {
		return true, err
	}
	_, err = w.Write(b)
	return true, err
}

// bar draws how much of something is used.
func bar(used, all int64, width int) string {
	if all <= 0 {
		return strings.Repeat("░", width)
	}
	n := int(float64(used) / float64(all) * float64(width))
	if n == 0 && used > 0 {
		n = 1
	}
	return strings.Repeat("█", min(n, width)) + strings.Repeat("░", width-min(n, width))
}
