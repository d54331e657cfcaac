package probe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// PageText is what a reader sees of a page, so that it can be compared: the
// text without markup, scripts and styles, blanks folded, one block a line; at
// most MaxBody bytes. Anything but HTML is taken as text.
func PageText(body []byte) string {
	var out strings.Builder
	z := html.NewTokenizer(bytes.NewReader(body))
	hidden := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return fold(out.String())
		case html.TextToken:
			if hidden == 0 {
				out.Write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			switch a := atom.Lookup(name); a {
			case atom.Script, atom.Style, atom.Noscript, atom.Template:
				hidden++
			default:
				if !inline[a] {
					out.WriteByte('\n')
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			switch atom.Lookup(name) {
			case atom.Script, atom.Style, atom.Noscript, atom.Template:
				hidden = max(0, hidden-1)
			}
		}
	}
}

var inline = map[atom.Atom]bool{atom.A: true, atom.B: true, atom.I: true, atom.Em: true, atom.Strong: true, atom.Span: true, atom.Small: true, atom.Code: true,
	atom.Sub: true, atom.Sup: true, atom.Font: true, atom.U: true, atom.Abbr: true, atom.Time: true}

func fold(s string) string {
	var lines []string
	for l := range strings.Lines(strings.ToValidUTF8(s, "�")) {
		if l = strings.Join(strings.Fields(strings.ReplaceAll(l, "\x00", "")), " "); l != "" {
			lines = append(lines, l)
		}
	}
	text := strings.Join(lines, "\n")
	if len(text) > MaxBody {
		text = text[:MaxBody]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	return text
}

// PageHash stands for a page's text.
func PageHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
