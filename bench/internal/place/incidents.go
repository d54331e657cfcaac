package place

import (
	"context"
	"fmt"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon"
	"kelian/org"
)

// Incidents opens n incidents of one host each.
func (p *Place) Incidents(ctx context.Context, n int) error {
	at := time.Now().UTC().Truncate(time.Microsecond)
	for i := range n {
		out, err := p.Netmon.CreateHost(ctx, org.System(), netmon.HostInput{NameZh: fmt.Sprintf("主机 %d", i), NameEn: fmt.Sprintf("Host %d", i),
			Address: fmt.Sprintf("127.1.0.%d", i+1), Buildings: []string{fmt.Sprintf("T%d", i)}, Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}})
		if err != nil {
			return err
		}
		_, err = store.InTx(ctx, p.DB, store.Internal("bench"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
			inc := id.New()
			tx.QueueSQL(`INSERT INTO incident (id, number, key, outage, flat, certified, flapping, opened_epoch, opened_at, title_zh, title_en, why_zh, why_en, evidence, certificate)
				VALUES (?, ?, ?, ?, FALSE, TRUE, FALSE, 1, ?, '交换机无响应', 'A switch is silent', '它之后的都不通', 'all behind it is dark', '[]', '{}')`,
				inc, fmt.Sprintf("2026-%04d", i+1), inc.String(), inc.String(), at.Add(time.Duration(i)*time.Second))
			tx.QueueSQL(`INSERT INTO incident_node (incident, node, host, role, joined_epoch) VALUES (?, ?, ?, 'ROOT', 1)`, inc, out.Host, out.Host)
			return struct{}{}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
