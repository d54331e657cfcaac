package guard

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"kelian/internal/fault"
)

// reader reads JSON (RFC 8259) more strictly than encoding/json: no name
// twice in an object, no byte after the value, no invalid UTF-8, no lone
// surrogate, no NUL, no nesting beyond depth. Numbers become json.Number. Its
// errors name a place and never repeat what stands there.
type reader struct {
	s     []byte
	i     int
	depth int
	// span notes where the value of the outermost object's member "variables"
	// began and ended.
	span [2]int
}

func (p *reader) bad(zh, en string) *fault.Error {
	return fault.Input("", fmt.Sprintf("请求体第 %d 字节处：%s", p.i, zh), fmt.Sprintf("request body, byte %d: %s", p.i, en)).At()
}

func (p *reader) malformed() *fault.Error { return p.bad("不是合规的 JSON", "not valid JSON") }

// document reads the one value that s must hold.
func (p *reader) document() (any, *fault.Error) {
	if !utf8.Valid(p.s) {
		return nil, p.bad("不是 UTF-8 编码", "not valid UTF-8")
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.i != len(p.s) {
		return nil, p.bad("后面还有多余的内容", "there is something after the value")
	}
	return v, nil
}

func (p *reader) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *reader) next() byte {
	p.space()
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *reader) value(depth int) (any, *fault.Error) {
	if depth > p.depth {
		return nil, p.bad("嵌套太深", "nested too deeply")
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.str()
	case c == '-' || (c >= '0' && c <= '9'):
		return p.number()
	case c == 't':
		return true, p.literal("true")
	case c == 'f':
		return false, p.literal("false")
	case c == 'n':
		return nil, p.literal("null")
	}
	return nil, p.malformed()
}

func (p *reader) literal(word string) *fault.Error {
	if len(p.s)-p.i < len(word) || string(p.s[p.i:p.i+len(word)]) != word {
		return p.malformed()
	}
	p.i += len(word)
	return nil
}

func (p *reader) object(depth int) (any, *fault.Error) {
	p.i++
	out := map[string]any{}
	if p.next() == '}' {
		p.i++
		return out, nil
	}
	for {
		if p.next() != '"' {
			return nil, p.malformed()
		}
		name, err := p.str()
		if err != nil {
			return nil, err
		}
		if _, twice := out[name]; twice {
			return nil, p.bad("对象里有重复的名字", "a name stands twice in an object")
		}
		if p.next() != ':' {
			return nil, p.malformed()
		}
		p.i++
		p.space()
		began := p.i
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if depth == 0 && name == "variables" {
			p.span = [2]int{began, p.i}
		}
		out[name] = v
		switch p.next() {
		case ',':
			p.i++
		case '}':
			p.i++
			return out, nil
		default:
			return nil, p.malformed()
		}
	}
}

func (p *reader) array(depth int) (any, *fault.Error) {
	p.i++
	out := []any{}
	if p.next() == ']' {
		p.i++
		return out, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		switch p.next() {
		case ',':
			p.i++
		case ']':
			p.i++
			return out, nil
		default:
			return nil, p.malformed()
		}
	}
}

// maxDigits bounds numbers: none that we read has more.
const maxDigits = 64

func (p *reader) number() (any, *fault.Error) {
	began := p.i
	digits := func() bool {
		from := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		return p.i > from
	}
	at := func(set string) bool {
		if p.i == len(p.s) || strings.IndexByte(set, p.s[p.i]) < 0 {
			return false
		}
		p.i++
		return true
	}
	at("-")
	if !at("0") && !digits() {
		return nil, p.malformed()
	}
	if at(".") && !digits() {
		return nil, p.malformed()
	}
	if at("eE") {
		at("+-")
		if !digits() {
			return nil, p.malformed()
		}
	}
	if p.i-began > maxDigits {
		return nil, p.bad("数字太长", "a number is too long")
	}
	return json.Number(p.s[began:p.i]), nil
}

func (p *reader) str() (string, *fault.Error) {
	p.i++
	began := p.i
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return string(p.s[began : p.i-1]), nil
		case c == '\\':
			return p.escaped(append([]byte(nil), p.s[began:p.i]...))
		case c < 0x20:
			return "", p.malformed()
		}
		p.i++
	}
	return "", p.malformed()
}

var simpleEscape = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped reads the rest of a string whose first escape has been met.
func (p *reader) escaped(out []byte) (string, *fault.Error) {
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			return string(out), nil
		case c < 0x20:
			return "", p.malformed()
		case c != '\\':
			out = append(out, c)
			p.i++
			continue
		}
		p.i++
		if p.i >= len(p.s) {
			return "", p.malformed()
		}
		if plain, ok := simpleEscape[p.s[p.i]]; ok {
			out = append(out, plain)
			p.i++
			continue
		}
		r, err := p.unicode()
		if err != nil {
			return "", err
		}
		out = utf8.AppendRune(out, r)
	}
	return "", p.malformed()
}

// unicode reads uXXXX or a surrogate pair uXXXX\uXXXX.
func (p *reader) unicode() (rune, *fault.Error) {
	r, ok := p.hex4()
	if !ok {
		return 0, p.malformed()
	}
	if utf16.IsSurrogate(r) {
		if p.i+1 >= len(p.s) || p.s[p.i] != '\\' {
			return 0, p.bad("不成对的代理字符", "a lone surrogate")
		}
		p.i++
		low, ok := p.hex4()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, p.bad("不成对的代理字符", "a lone surrogate")
		}
	}
	if r == 0 {
		return 0, p.bad("不允许空字符", "NUL is not allowed")
	}
	return r, nil
}

func (p *reader) hex4() (rune, bool) {
	if len(p.s)-p.i < 5 || p.s[p.i] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range p.s[p.i+1 : p.i+5] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	p.i += 5
	return r, true
}
