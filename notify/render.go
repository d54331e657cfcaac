package notify

import (
	"cmp"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"unicode"
)

var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

// Rendered is a notification in words.
type Rendered struct {
	Subject string // one line
	Text    string // begins with 【科联】 and the number, ends with the link
	Body    string // the sentence alone
	Link    string
}

// Render puts the notification into words with the link that works; lang is
// zh or en.
func (s *Service) Render(n *Notification, lang string) Rendered {
	return s.render(n, lang, s.resolve(n.Path))
}

func (s *Service) render(n *Notification, lang, path string) Rendered {
	t := templates[n.Topic]
	w := t.zh
	if lang == "en" {
		w = t.en
	}
	params := map[string]string{}
	_ = json.Unmarshal([]byte(n.Params), &params) // Put wrote it
	if code := s.secret(n); code != "" {
		params["code"] = code
	}
	head := "【科联】"
	if lang == "en" {
		head = "[Kelian] "
	}
	if number := cmp.Or(params["number."+lang], params["number"]); number != "" {
		head += line(number) + " "
	}
	r := Rendered{Subject: head + fill(w.subject, params, lang), Body: fill(w.text, params, lang), Link: s.public + path}
	r.Text = head + r.Body + "\n" + r.Link
	return r
}

// htmlBody is the least HTML that a mailbox shows well.
func (r Rendered) htmlBody() string {
	link := html.EscapeString(r.Link)
	return "<!doctype html><meta charset=\"utf-8\"><p>" + html.EscapeString(strings.TrimSuffix(r.Text, "\n"+r.Link)) +
		"</p><p><a href=\"" + link + "\">" + link + "</a></p>\n"
}

// fill replaces {name} by its value in the language; one that the caller did
// not give becomes a dash, so that a message goes out all the same.
func fill(s string, params map[string]string, lang string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		name := m[1 : len(m)-1]
		v, ok := params[name+"."+lang]
		if !ok {
			v, ok = params[name]
		}
		if !ok || v == "" {
			return "—"
		}
		return line(v)
	})
}

// line keeps a value on its line: subjects and texts are built from it.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// reveal puts the link that works behind a stored text, which ends with one
// that does not.
func (s *Service) reveal(text string) string {
	at := strings.LastIndexByte(text, '\n') + 1
	path, ok := strings.CutPrefix(text[at:], s.public)
	if !ok {
		return text
	}
	return text[:at] + s.public + s.resolve(path)
}
