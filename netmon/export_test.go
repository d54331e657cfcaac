package netmon

import "kelian/netmon/judge"

// Doubt makes the monitor's checker refuse every certificate while on says so.
func (m *Monitor) Doubt(on func() error) {
	m.verify = func(g *judge.Graph, c judge.Certificate, conditions map[string]judge.Condition) error {
		if err := on(); err != nil {
			return err
		}
		return judge.Verify(g, c, conditions)
	}
}

// Beat does at once what the monitor does three times an epoch.
var Beat = (*Monitor).beat

// EncodeRound and DecodeRound are the payload's two ways, one attempt list per
// number.
func EncodeRound(all map[int64][]judge.Attempt) []byte {
	var in []seen
	for n, a := range all {
		in = append(in, seen{n, a})
	}
	return encodeRound(in)
}

// DecodeRound reads a payload.
func DecodeRound(raw []byte) (map[int64][]judge.Attempt, error) {
	list, err := decodeRound(raw)
	out := map[int64][]judge.Attempt{}
	for _, s := range list {
		out[s.number] = s.attempts
	}
	return out, err
}
