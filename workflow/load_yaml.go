package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Problem is one mistake in a definition's text, with its place (from 1).
type Problem struct {
	Code      string
	Line, Col int
	Zh, En    string
}

// Problems are all mistakes found, in the order of the text.
type Problems []Problem

// Error implements error in English, one line each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = fmt.Sprintf("%d:%d: %s: %s", x.Line, x.Col, x.Code, x.En)
	}
	return strings.Join(lines, "\n")
}

// maxSource bounds a definition's text in bytes, maxNesting its depth.
const (
	maxSource  = 128 << 10
	maxNesting = 32
)

// node is a YAML value with its place. Exactly one of keys, items and value
// counts, by kind.
type node struct {
	kind      nodeKind
	line, col int
	keys      []keyNode
	items     []*node
	value     any   // string, int64, float64, bool or nil
	indent    int   // columns before the text: a quotation mark, or a block's indentation
	block     bool  // the text begins on the next line
	folded    []int // of a folded block: the length of each of its lines
}

type keyNode struct {
	name      string
	line, col int
	value     *node
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	mapNode
	listNode
)

// get finds a key's value, or nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.keys {
		if n.keys[i].name == name {
			return n.keys[i].value
		}
	}
	return nil
}

// item is where the i-th of strs stands: in a list, or the value itself.
func (n *node) item(i int) *node {
	if i < len(n.items) {
		return n.items[i]
	}
	return n
}

// text is the node's string, if it is one.
func (n *node) text() (string, bool) {
	if n == nil || n.kind != scalarNode {
		return "", false
	}
	s, ok := n.value.(string)
	return s, ok
}

// plain gives the value as encoding/json knows it.
func (n *node) plain() any {
	switch n.kind {
	case mapNode:
		out := make(map[string]any, len(n.keys))
		for _, k := range n.keys {
			out[k.name] = k.value.plain()
		}
		return out
	case listNode:
		out := make([]any, len(n.items))
		for i, x := range n.items {
			out[i] = x.plain()
		}
		return out
	}
	return n.value
}

// parseYAML reads one document. Aliases, tags and merge keys are refused: a
// definition must mean what it shows.
func parseYAML(src []byte) (*node, *Problem) {
	if len(src) > maxSource {
		return nil, &Problem{"YAML", 1, 1, "定义太长", fmt.Sprintf("the text is longer than %d bytes", maxSource)}
	}
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, syntaxProblem(err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, &Problem{"YAML", 1, 1, "要有且只有一份文档", "there must be one document, no more"}
	}
	r := &yamlReader{}
	n := r.read(file.Docs[0].Body, 0)
	return n, r.problem
}

func syntaxProblem(err error) *Problem {
	p := &Problem{Code: "YAML", Line: 1, Col: 1, Zh: "YAML 写法有误", En: err.Error()}
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &at) {
		p.En = at.GetMessage()
		if t := at.GetToken(); t != nil {
			p.Line, p.Col = t.Position.Line, t.Position.Column
		}
	}
	p.Zh += "：" + p.En
	return p
}

type yamlReader struct{ problem *Problem }

func (r *yamlReader) refuse(n ast.Node, zh, en string) *node {
	if r.problem == nil {
		at := n.GetToken().Position
		r.problem = &Problem{"YAML", at.Line, at.Column, zh, en}
	}
	return &node{}
}

func (r *yamlReader) read(n ast.Node, depth int) *node {
	if depth > maxNesting {
		return r.refuse(n, "嵌套太深", "nested too deeply")
	}
	at := n.GetToken().Position
	out := &node{line: at.Line, col: at.Column}
	switch v := n.(type) {
	case *ast.MappingNode:
		out.kind = mapNode
		r.readMap(out, v.Values, v.IsFlowStyle, depth)
	case *ast.MappingValueNode:
		out.kind = mapNode
		r.readMap(out, []*ast.MappingValueNode{v}, false, depth)
	case *ast.SequenceNode:
		out.kind = listNode
		for _, x := range v.Values {
			out.items = append(out.items, r.read(x, depth+1))
		}
	case *ast.LiteralNode:
		out.value, out.block = v.Value.Value, true
		out.readBlock(v)
	case *ast.StringNode:
		out.value = v.Value
		if v.Token.Type == token.SingleQuoteType || v.Token.Type == token.DoubleQuoteType {
			out.indent = 1
		}
	case *ast.IntegerNode:
		return r.integer(out, v)
	case *ast.FloatNode:
		out.value = v.Value
	case *ast.BoolNode:
		out.value = v.Value
	case *ast.NullNode:
	default:
		return r.refuse(n, "不能使用锚点、别名和标签", "anchors, aliases and tags are not taken")
	}
	return out
}

// readBlock remembers how the text of a block scalar lies on its lines.
func (n *node) readBlock(v *ast.LiteralNode) {
	lines := strings.Split(v.Value.GetToken().Origin, "\n")
	n.indent = len(lines[0]) - len(strings.TrimLeft(lines[0], " "))
	if strings.HasPrefix(v.Start.Value, ">") {
		for _, l := range lines {
			n.folded = append(n.folded, len([]rune(strings.TrimSpace(l))))
		}
	}
}

// inside is the place of a position (line and column from 1) in the node's
// text.
func (n *node) inside(line, col int) *node {
	switch {
	case !n.block && line == 1:
		return &node{line: n.line, col: n.col + n.indent + col - 1}
	case !n.block:
		return &node{line: n.line + line - 1, col: col}
	}
	for i := 0; i < len(n.folded)-1 && col > n.folded[i]+1; i++ {
		col -= n.folded[i] + 1
		line++
	}
	return &node{line: n.line + line, col: n.indent + col}
}

func (r *yamlReader) readMap(out *node, values []*ast.MappingValueNode, flow bool, depth int) {
	for i, kv := range values {
		key, ok := kv.Key.(ast.Node).(*ast.StringNode)
		if !ok {
			r.refuse(kv.Key, "键要是文字", "a key must be text")
			return
		}
		at := key.Token.Position
		if i == 0 && !flow {
			out.line, out.col = at.Line, at.Column
		}
		out.keys = append(out.keys, keyNode{key.Value, at.Line, at.Column, r.read(kv.Value, depth+1)})
	}
}

func (r *yamlReader) integer(out *node, n *ast.IntegerNode) *node {
	switch v := n.Value.(type) {
	case int64:
		out.value = v
	case uint64:
		if v > 1<<53 {
			return r.refuse(n, "数字太大", "the number is too large")
		}
		out.value = int64(v)
	default:
		return r.refuse(n, "数字写法有误", "not a number")
	}
	return out
}

// loader collects problems while a definition is read.
type loader struct {
	known    Known
	problems Problems
}

func (l *loader) add(at *node, code, zh, en string) {
	l.problems = append(l.problems, Problem{code, at.line, at.col, zh, en})
}

// expect says whether the node is of the kind.
func (l *loader) expect(n *node, kind nodeKind, what string) bool {
	if n == nil || n.kind == kind {
		return n != nil
	}
	name := map[nodeKind][2]string{scalarNode: {"一个值", "a value"}, mapNode: {"键值表", "a mapping"}, listNode: {"列表", "a list"}}[kind]
	l.add(n, "TYPE", what+" 应是"+name[0], what+" must be "+name[1])
	return false
}

// only refuses keys that are in neither list and names required ones that are
// missing.
func (l *loader) only(n *node, what string, required []string, optional ...string) bool {
	if !l.expect(n, mapNode, what) {
		return false
	}
	for _, k := range n.keys {
		if !slices.Contains(required, k.name) && !slices.Contains(optional, k.name) {
			l.add(&node{line: k.line, col: k.col}, "UNKNOWN_KEY", what+" 里没有“"+k.name+"”这一项", what+" has no key "+k.name)
		}
	}
	for _, k := range required {
		if n.get(k) == nil {
			l.add(n, "MISSING_KEY", what+" 缺少“"+k+"”", what+" lacks "+k)
		}
	}
	return true
}

// str reads a string that must not be empty.
func (l *loader) str(n *node, what string) string {
	if n == nil {
		return ""
	}
	s, ok := n.text()
	if !ok || strings.TrimSpace(s) == "" {
		l.add(n, "TYPE", what+" 应是文字", what+" must be text")
	}
	return s
}

func (l *loader) flag(n *node, what string) bool {
	if n == nil {
		return false
	}
	b, ok := n.value.(bool)
	if !ok || n.kind != scalarNode {
		l.add(n, "TYPE", what+" 应是 true 或 false", what+" must be true or false")
	}
	return b
}

func (l *loader) integer(n *node, what string) int {
	if n == nil {
		return 0
	}
	v, ok := n.value.(int64)
	if !ok || n.kind != scalarNode || v < 0 || v > 1<<31 {
		l.add(n, "TYPE", what+" 应是不小于 0 的整数", what+" must be a whole number, not negative")
		return 0
	}
	return int(v)
}

// strs reads a list of strings; one string is a list of one.
func (l *loader) strs(n *node, what string) []string {
	if n == nil {
		return nil
	}
	if n.kind == scalarNode {
		return []string{l.str(n, what)}
	}
	if !l.expect(n, listNode, what) {
		return nil
	}
	var out []string
	for _, x := range n.items {
		out = append(out, l.str(x, what))
	}
	return out
}
