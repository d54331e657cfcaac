package render

import (
	"encoding/xml"
	"fmt"

	"kelian/workflow/flow"
)

// The namespaces of BPMN 2.0 (OMG formal/2011-01-03) and its diagrams.
const (
	nsModel = "http://www.omg.org/spec/BPMN/20100524/MODEL"
	nsDI    = "http://www.omg.org/spec/BPMN/20100524/DI"
	nsDC    = "http://www.omg.org/spec/DD/20100524/DC"
	nsDD    = "http://www.omg.org/spec/DD/20100524/DI"
	nsXSI   = "http://www.w3.org/2001/XMLSchema-instance"
)

type (
	bpmnDefinitions struct {
		XMLName   xml.Name `xml:"definitions"`
		NS        string   `xml:"xmlns,attr"`
		DI        string   `xml:"xmlns:bpmndi,attr"`
		DC        string   `xml:"xmlns:dc,attr"`
		DD        string   `xml:"xmlns:di,attr"`
		XSI       string   `xml:"xmlns:xsi,attr"`
		ID        string   `xml:"id,attr"`
		Namespace string   `xml:"targetNamespace,attr"`
		Process   bpmnProcess
		Diagram   bpmnDiagram
	}
	bpmnProcess struct {
		XMLName    xml.Name `xml:"process"`
		ID         string   `xml:"id,attr"`
		Name       string   `xml:"name,attr"`
		Executable bool     `xml:"isExecutable,attr"`
		Elements   []any
	}
	bpmnElement struct {
		XMLName xml.Name
		ID      string     `xml:"id,attr"`
		Name    string     `xml:"name,attr,omitempty"`
		Default string     `xml:"default,attr,omitempty"`
		Doc     string     `xml:"documentation,omitempty"`
		Owner   *bpmnOwner `xml:"potentialOwner,omitempty"`
		Multi   *bpmnMulti `xml:"multiInstanceLoopCharacteristics,omitempty"`
		Timer   *bpmnTimer `xml:"timerEventDefinition,omitempty"`
	}
	bpmnOwner struct {
		Assignment string `xml:"resourceAssignmentExpression>formalExpression"`
	}
	bpmnMulti struct {
		Sequential bool   `xml:"isSequential,attr"`
		Done       string `xml:"completionCondition"`
	}
	bpmnTimer struct {
		Duration string `xml:"timeDuration"`
	}
	bpmnFlow struct {
		XMLName   xml.Name       `xml:"sequenceFlow"`
		ID        string         `xml:"id,attr"`
		Name      string         `xml:"name,attr,omitempty"`
		From      string         `xml:"sourceRef,attr"`
		To        string         `xml:"targetRef,attr"`
		Condition *bpmnCondition `xml:"conditionExpression,omitempty"`
	}
	bpmnCondition struct {
		Type     string `xml:"xsi:type,attr"`
		Language string `xml:"language,attr"`
		Text     string `xml:",chardata"`
	}
	bpmnDiagram struct {
		XMLName xml.Name `xml:"bpmndi:BPMNDiagram"`
		ID      string   `xml:"id,attr"`
		Plane   bpmnPlane
	}
	bpmnPlane struct {
		XMLName xml.Name `xml:"bpmndi:BPMNPlane"`
		ID      string   `xml:"id,attr"`
		Element string   `xml:"bpmnElement,attr"`
		Items   []any
	}
	bpmnShape struct {
		XMLName xml.Name `xml:"bpmndi:BPMNShape"`
		ID      string   `xml:"id,attr"`
		Element string   `xml:"bpmnElement,attr"`
		Bounds  struct {
			X int `xml:"x,attr"`
			Y int `xml:"y,attr"`
			W int `xml:"width,attr"`
			H int `xml:"height,attr"`
		} `xml:"dc:Bounds"`
	}
	bpmnEdge struct {
		XMLName xml.Name    `xml:"bpmndi:BPMNEdge"`
		ID      string      `xml:"id,attr"`
		Element string      `xml:"bpmnElement,attr"`
		Points  []bpmnPoint `xml:"di:waypoint"`
	}
	bpmnPoint struct {
		X int `xml:"x,attr"`
		Y int `xml:"y,attr"`
	}
)

// language names CEL as the language of conditions.
const language = "https://cel.dev"

// BPMN is the graph as a BPMN 2.0 document with its diagram. Steps are user
// tasks, one instance per elector; thresholds are completion conditions. What
// BPMN has no word for (send-back, deadlines, signed fields) stands in the
// task's documentation.
func (g *Graph) BPMN(key string) ([]byte, error) {
	d := bpmnDefinitions{NS: nsModel, DI: nsDI, DC: nsDC, DD: nsDD, XSI: nsXSI, ID: "definitions", Namespace: "urn:kelian:" + key}
	d.Process = bpmnProcess{ID: "process", Name: g.Title}
	d.Diagram = bpmnDiagram{ID: "diagram", Plane: bpmnPlane{ID: "plane", Element: "process"}}
	plane := &d.Diagram.Plane
	for i := range g.Nodes {
		n := &g.Nodes[i]
		d.Process.Elements = append(d.Process.Elements, g.element(n))
		s := bpmnShape{ID: n.ID + "_di", Element: n.ID}
		s.Bounds.X, s.Bounds.Y, s.Bounds.W, s.Bounds.H = n.X, n.Y, n.W, n.H
		plane.Items = append(plane.Items, s)
	}
	for _, e := range g.Edges {
		f := bpmnFlow{ID: e.ID, From: e.From, To: e.To, Name: e.Said}
		if e.When != "" && e.When != "else" {
			f.Condition = &bpmnCondition{Type: "tFormalExpression", Language: language, Text: e.When}
		}
		d.Process.Elements = append(d.Process.Elements, f)
		plane.Items = append(plane.Items, bpmnEdge{ID: e.ID + "_di", Element: e.ID, Points: g.points(e)})
	}
	out, err := xml.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}

var bpmnNames = map[Kind]string{Start: "startEvent", End: "endEvent", Task: "userTask", Timer: "intermediateCatchEvent",
	Split: "exclusiveGateway", Merge: "exclusiveGateway", Fork: "parallelGateway", Join: "parallelGateway"}

func (g *Graph) element(n *Node) bpmnElement {
	e := bpmnElement{XMLName: xml.Name{Local: bpmnNames[n.Kind]}, ID: n.ID, Name: n.Title}
	if n.Kind == Split {
		for _, x := range g.Edges {
			if x.From == n.ID && x.When == "else" {
				e.Default = x.ID
			}
		}
	}
	s := n.Step
	if s == nil {
		return e
	}
	e.Doc = document(s)
	if n.Kind == Timer {
		e.Timer = &bpmnTimer{Duration: span(s.Due)}
		return e
	}
	e.Owner = &bpmnOwner{Assignment: n.Lines[0]}
	e.Multi = &bpmnMulti{Sequential: s.Rule.InTurn, Done: condition(s.Rule)}
	return e
}

func document(s *flow.Step) string {
	out := "rule: " + s.Rule.Say().En
	if s.Due.N > 0 {
		out += "; due: " + span(s.Due)
	}
	if s.OnDue.Then != "" {
		out += "; then: " + string(s.OnDue.Then)
	}
	if s.OnDue.Escalate != "" {
		out += "(" + s.OnDue.Escalate + ")"
	}
	if len(s.Reads) > 0 {
		out += fmt.Sprintf("; reads: %v", s.Reads)
	}
	if len(s.SendBack) > 0 {
		out += fmt.Sprintf("; send back to: %v", s.SendBack)
	}
	if len(s.DistinctFrom) > 0 {
		out += fmt.Sprintf("; distinct from: %v", s.DistinctFrom)
	}
	return out
}

// condition says over the number of approvals when a step is over.
func condition(r flow.Rule) string {
	switch r.Kind {
	case flow.All:
		return "approved + rejected + abstained == nrOfInstances"
	case flow.KOfN:
		return fmt.Sprintf("approved >= %d", r.K)
	case flow.Percent:
		return fmt.Sprintf("approved * %d >= nrOfInstances * %d", r.Percent.Den, r.Percent.Num)
	case flow.OfCast:
		return fmt.Sprintf("approved * %d >= (approved + rejected) * %d", r.Percent.Den, r.Percent.Num)
	}
	return "approved >= 1"
}

// points are the corners of an arrow: from the right side of one shape to the
// left side of the next, with one step between different heights.
func (g *Graph) points(e Edge) []bpmnPoint {
	from, to := g.node(e.From), g.node(e.To)
	a := bpmnPoint{from.X + from.W, from.Y + from.H/2}
	z := bpmnPoint{to.X, to.Y + to.H/2}
	if a.Y == z.Y {
		return []bpmnPoint{a, z}
	}
	turn := a.X + gapX/2
	if to.Kind == Merge || to.Kind == Join {
		turn = z.X - gapX/2
	}
	return []bpmnPoint{a, {turn, a.Y}, {turn, z.Y}, z}
}

func (g *Graph) node(id string) *Node {
	for i := range g.Nodes {
		if g.Nodes[i].ID == id {
			return &g.Nodes[i]
		}
	}
	return &Node{}
}

func span(s flow.Span) string {
	if s.Unit == flow.Minutes && s.N%60 == 0 {
		return fmt.Sprintf("%dh", s.N/60)
	}
	return fmt.Sprintf("%d%s", s.N, s.Unit)
}
