package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"kelian/internal/app"
)

// campus speaks to the service as everybody behind one address does.
type campus struct {
	url  string
	http *http.Client
}

// post gives the status, the top code and the body; what could not be sent has
// status 0.
func (c campus) post(token, query string, vars map[string]any) (status int, code string, data json.RawMessage) {
	body, _ := json.Marshal(map[string]any{"query": query, "variables": vars})
	req, err := http.NewRequest(http.MethodPost, c.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error(), nil
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = res.Body.Close() }()
	raw, _ := io.ReadAll(res.Body)
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return res.StatusCode, err.Error(), raw
	}
	return res.StatusCode, a.code(), a.Data
}

// crowd runs f n times by so many hands.
func crowd(n, hands int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range hands {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				f(i)
			}
		})
	}
	wg.Wait()
}

// TestACampusIsOneAddress has 500 students report from one address at once
// while somebody among them hammers with an account of his own and guesses at
// a password.
func TestACampusIsOneAddress(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		s.roles = []string{app.RoleAPI, app.RoleWorker}
		w := open(t, s)
		c := campus{url: w.config.PublicURL, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}}
		before := w.rows(`SELECT count(*) FROM ticket`)[0][0]

		var slowed, passed, weighed, unweighed atomic.Int64
		attack := make(chan struct{})
		go func() {
			defer close(attack)
			hammer := func(int) {
				switch status, _, _ := c.post(w.people["luyuan"].Token, `{ viewer { language } }`, nil); status {
				case http.StatusTooManyRequests:
					slowed.Add(1)
				case http.StatusOK:
					passed.Add(1)
				}
			}
			crowd(700, 8, hammer)
			crowd(3000, 60, hammer)
		}()
		guesses := make(chan struct{})
		go func() {
			defer close(guesses)
			crowd(60, 2, func(i int) {
				_, code, data := c.post("", `mutation($in: SignInInput!) { signIn(input: $in) { token userErrors { code } } }`,
					map[string]any{"in": input{"login": "hejing", "password": fmt.Sprintf("not her password %d", i)}})
				var got struct {
					SignIn struct {
						Token      *string
						UserErrors []struct{ Code string }
					}
				}
				_ = json.Unmarshal(data, &got)
				switch {
				case got.SignIn.Token != nil:
					t.Error("a wrong password lets in")
				case code == "RATE_LIMITED":
					unweighed.Add(1)
				case len(got.SignIn.UserErrors) > 0:
					weighed.Add(1)
				}
			})
		}()
		const submit = `mutation($in: SubmitRepairInput!) { submitRepair(input: $in) { link userErrors { code message } } }`
		var failed, retried atomic.Int64
		crowd(500, 8, func(i int) {
			in := report(fmt.Sprintf("%d号楼", i%20+20))
			in["number"], in["contact"] = fmt.Sprintf("20250%05d", i), input{"kind": "PHONE", "value": fmt.Sprintf("138%08d", i)}
			status, code, data := c.post("", submit, map[string]any{"in": in})
			// UNAVAILABLE says: send the same request again, and so a client does.
			for again := 0; code == "UNAVAILABLE" && again < 20; again++ {
				retried.Add(1)
				status, code, data = c.post("", submit, map[string]any{"in": in})
			}
			var got struct{ SubmitRepair struct{ Link *string } }
			if json.Unmarshal(data, &got) != nil || got.SubmitRepair.Link == nil {
				if failed.Add(1) < 5 {
					t.Errorf("student %d was answered %d %s %s", i, status, code, data)
				}
			}
		})
		after := w.rows(`SELECT count(*) FROM ticket`)[0][0]
		t.Logf("%d times a busy server was asked again under the same key", retried.Load())
		if n := failed.Load(); n > 0 {
			t.Errorf("%d of 500 students did not get through", n)
		}
		if want := fmt.Sprint(atoi(t, before) + 500); after != want {
			t.Errorf("%s tickets, and 500 more are %s", before, after)
		}
		<-attack
		<-guesses
		// An account may send 600 in a minute at once and ten a second after that;
		// what would have to wait more than 5 s is refused.
		if slowed.Load() < 500 {
			t.Errorf("of the attacker's 3,700 requests %d passed and only %d were refused", passed.Load(), slowed.Load())
		}
		if unweighed.Load() < 40 {
			t.Errorf("of 60 guesses at one password %d were weighed and only %d refused unseen", weighed.Load(), unweighed.Load())
		}
		t.Logf("attacker: %d of 3,700 answered, %d refused; of 60 guesses %d weighed, %d refused unseen", passed.Load(), slowed.Load(), weighed.Load(), unweighed.Load())
	})
}
