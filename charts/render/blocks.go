package render

import (
	"regexp"
	"strings"
)

// Blocks returns the fenced blocks of a Markdown text that bear exactly that info string ("sh", "yaml", "yaml values"). A
// block in a list is as far to the right as its fence: these blanks are no part of it.
func Blocks(text, info string) (blocks []string) {
	fenced := regexp.MustCompile("(?ms)^([ \t]*)```" + regexp.QuoteMeta(info) + "\n(.*?)^[ \t]*```$")
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		var b strings.Builder
		for l := range strings.Lines(m[2]) {
			b.WriteString(strings.TrimPrefix(l, m[1]))
		}
		blocks = append(blocks, b.String())
	}
	return blocks
}
