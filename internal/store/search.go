package store

import (
	"strings"
	"unicode"

	"github.com/mozillazg/go-pinyin"
)

// SearchText is what a row is found by: words in lower case, Han characters as
// single characters and bigrams, and for each run of Han its pinyin and its
// initials. It is made here and not by the database, so that both dialects
// find the same rows.
func SearchText(parts ...string) string {
	seen := map[string]bool{}
	var out []string
	add := func(s string) {
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, p := range parts {
		for _, run := range runs(p) {
			if !unicode.Is(unicode.Han, run[0]) {
				add(string(run))
				continue
			}
			for i := range run {
				add(string(run[i]))
				if i > 0 {
					add(string(run[i-1 : i+1]))
				}
			}
			full, initials := Pinyin(string(run))
			add(full)
			add(initials)
		}
	}
	return " " + strings.Join(out, " ") + " "
}

// SearchTerms cuts what a person typed into LIKE patterns; a row matches when
// all of them do.
func SearchTerms(q string) []string {
	var out []string
	for _, run := range runs(q) {
		if !unicode.Is(unicode.Han, run[0]) {
			out = append(out, "% "+escapeLike(string(run))+"%")
			continue
		}
		if len(run) == 1 {
			out = append(out, "% "+string(run)+" %")
		}
		for i := 1; i < len(run); i++ {
			out = append(out, "% "+string(run[i-1:i+1])+" %")
		}
	}
	return out
}

// Pinyin gives the toneless spelling of s without spaces, and its initials;
// other characters are left out.
func Pinyin(s string) (full, initials string) {
	for _, syl := range pinyin.LazyPinyin(s, pinyin.NewArgs()) {
		full += syl
		initials += syl[:1]
	}
	return full, initials
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}

// runs cuts s into lower-case words and runs of Han characters.
func runs(s string) [][]rune {
	var out [][]rune
	var cur []rune
	han := false
	flush := func() {
		if len(cur) > 0 {
			out = append(out, cur)
		}
		cur = nil
	}
	for _, r := range strings.ToLower(s) {
		isHan := unicode.Is(unicode.Han, r)
		if !isHan && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			continue
		}
		if len(cur) > 0 && isHan != han {
			flush()
		}
		han = isHan
		cur = append(cur, r)
	}
	flush()
	return out
}
