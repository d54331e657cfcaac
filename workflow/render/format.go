package render

import "kelian/workflow/flow"

// Format is a way to write a drawing.
type Format string

// The formats.
const (
	FormatMermaid Format = "mermaid"
	FormatBPMN    Format = "bpmn"
	FormatSVG     Format = "svg"
)

// Draw writes a workflow in a format.
func Draw(def *flow.Definition, lang Lang, format Format, words Words) (string, error) {
	g := Of(def, lang, words)
	switch format {
	case FormatBPMN:
		raw, err := g.BPMN(def.Key)
		return string(raw), err
	case FormatSVG:
		return g.SVG(), nil
	}
	return g.Mermaid(), nil
}
