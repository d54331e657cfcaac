package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kelian/internal/app"
)

// download fetches a path as a file.
func (c client) download(path string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, raw
}

// Supervision takes the proof of a decided request over HTTP; the command
// checks it without the database, and finds what was changed in it.
func TestSupervisionTakesAProofThatAnybodyChecks(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		w := open(t, s)
		var list struct {
			Requests struct {
				Edges []struct {
					Node struct{ ID, Number, Bundle string }
				}
			}
		}
		w.on("supervision.head").ask(&list, `{requests(first: 20, filter: {status: APPROVED}) {edges {node {id number bundle}}}}`, nil)
		if len(list.Requests.Edges) == 0 {
			t.Fatal("nothing was approved in the demo's past")
		}
		n := list.Requests.Edges[0].Node
		eventually(t, "everything is sealed", func() bool {
			return atoi(t, w.rows(`SELECT count(*) FROM audit WHERE NOT EXISTS (SELECT 1 FROM audit_seal WHERE audit_id = audit.id)`)[0][0]) == 0
		})
		status, raw := w.on("supervision.head").download(n.Bundle)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, raw)
		}
		if status, _ := w.as("").download(n.Bundle); status != http.StatusUnauthorized {
			t.Errorf("a stranger gets %d", status)
		}
		file := filepath.Join(t.TempDir(), "proof"+".kelian.jsonl")
		check := func(raw []byte) (string, error) {
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := app.VerifyBundle(file, "", &out)
			return out.String(), err
		}
		if out, err := check(raw); err != nil || !strings.Contains(out, n.Number) || !strings.Contains(out, "APPROVED") || !strings.Contains(out, "FROM THE BUNDLE ITSELF") ||
			strings.Contains(out, "not sealed yet when") {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err := check(bytes.Replace(raw, []byte(`"APPROVED"`), []byte(`"REJECTED"`), 1)); err == nil || !strings.Contains(out, "request: /status was changed") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
