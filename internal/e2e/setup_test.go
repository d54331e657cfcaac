package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/app"
	"kelian/internal/config"
	"kelian/internal/testkit"
	"kelian/notify/mailsink"
)

// terminal keeps what the service prints.
type terminal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *terminal) find(expr string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return regexp.MustCompile(expr).FindString(o.buf.String())
}

// page gets a page as text; while the service changes its settings a request
// waits for its answer.
func page(t *testing.T, address string) string {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v\n%s", address, res.StatusCode, err, body)
	}
	return string(body)
}

// TestTheSetUpTakesEffectWithoutARestart sets a federation up by its link and
// then changes a setting as another process would.
func TestTheSetUpTakesEffectWithoutARestart(t *testing.T) {
	sink, err := mailsink.Start(mailsink.Options{Dir: filepath.Join(t.TempDir(), "mail")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	dir, listen, out := t.TempDir(), freePort(t), &terminal{}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- app.Serve(ctx, config.Flags{DataDir: dir, Listen: listen, AdminListen: freePort(t), AllowHTTP: "true"}, everything, out)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	var link string
	testkit.Eventually(t, "the service prints the set-up's link", func() bool {
		link = out.find(`http://\S+/setup/\S+`)
		return link != ""
	})
	form := url.Values{"federation-name": {"星河大学科联"}, "public-url": {"http://kelian.xinghe.example"}, "timezone": {"Pacific/Kiritimati"},
		"mail-host": {sink.Host()}, "mail-port": {fmt.Sprint(sink.Port())}, "mail-tls": {"none"}, "mail-from": {"kelian@xinghe.example"},
		"name": {"何静"}, "number": {"2023010101"}, "login": {"hejing"}, "seat": {"office.head"}, "password": {"three violet rivers"}, "password2": {"three violet rivers"}}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	testkit.Eventually(t, "the set-up is accepted", func() bool {
		res, err := browser.PostForm(link, form)
		if err != nil {
			return false // it does not listen yet
		}
		defer func() { _ = res.Body.Close() }()
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("the set-up was answered %d\n%s", res.StatusCode, body)
		}
		return true
	})
	home := "http://" + listen + "/"
	testkit.Eventually(t, "the pages carry the new name", func() bool { return strings.Contains(page(t, home), "星河大学科联") })

	in := report("7号楼")
	in["contact"] = input{"kind": "QQ", "value": "10012345"}
	a := client{t: t, url: "http://" + listen}.send(`mutation($in: SubmitRepairInput!) { submitRepair(input: $in) { link userErrors { message } } }`, map[string]any{"in": in})
	var got struct{ SubmitRepair struct{ Link string } }
	if err := json.Unmarshal(a.Data, &got); err != nil || got.SubmitRepair.Link == "" {
		t.Fatalf("no link: %s", a.raw)
	}
	public := "http://kelian.xinghe.example" + got.SubmitRepair.Link
	testkit.Eventually(t, "a mail with the link arrives", func() bool {
		mails, err := sink.Mails()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mails {
			text := strings.NewReplacer("=\r\n", "", "=\n", "").Replace(string(m.Text))
			if strings.Contains(m.To, "10012345@qq.com") && strings.Contains(text, public) {
				return true
			}
		}
		return false
	})
	ticket := page(t, "http://"+listen+got.SubmitRepair.Link)
	if !strings.Contains(ticket, `<a href="`+public+`">`) {
		t.Errorf("the page's own link is another:\n%s", ticket)
	}
	zone, err := time.LoadLocation("Pacific/Kiritimati")
	if err != nil {
		t.Fatal(err)
	}
	times := regexp.MustCompile(`<time datetime="([^"]+)">([^<]+)</time>`).FindAllStringSubmatch(ticket, -1)
	if len(times) == 0 {
		t.Fatalf("no time on the page:\n%s", ticket)
	}
	for _, m := range times {
		at, err := time.Parse(time.RFC3339, m[1])
		if err != nil || !strings.HasSuffix(m[2], at.In(zone).Format("15:04")) {
			t.Errorf("%s is shown as %s: %v", m[1], m[2], err)
		}
	}

	db, err := sql.Open("sqlite", filepath.Join(dir, "kelian.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `UPDATE setting SET value = '云山大学科联' WHERE name = 'federation-name'`); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "what another process saved is seen", func() bool { return strings.Contains(page(t, home), "云山大学科联") })
}
