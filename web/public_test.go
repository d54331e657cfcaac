package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/desk/repair"
	"kelian/org"
	"kelian/web"
)

// A student without an account reports a dead network, sees what is wrong and
// who works on it, and takes everything back.
func TestReportByAStudent(t *testing.T) {
	w := open(t)
	w.outage()
	b := w.browser("zh-CN")
	b.get("/").want(200, "报修", "接入交换机 2")
	b.get("/repair").want(200, "接入交换机 2", "热得快", "我同意").lacks(" checked")
	good := url.Values{"act": {"send"}, "key": {b.hidden("key")}, "kind": {"NETWORK"}, "building": {"7舍"}, "room": {"302"}, "text": {"连不上"}, "name": {"王伟"},
		"contact-kind": {"qq"}, "contact-value": {"123456789"}, "consent": {repair.ConsentVersion}}
	bad := func(field, value, text string) {
		t.Helper()
		v := url.Values{}
		for k, x := range good {
			v[k] = x
		}
		v.Set(field, value)
		b.postForm("/repair", v).want(422, text).keeps("王伟")
		if field != "consent" && !strings.Contains(b.body, `id="wrong-`) {
			t.Fatalf("%s is not refused beside its field: %s", field, b.text())
		}
	}
	bad("consent", "", "同意")
	bad("contact-value", "12", "联系方式")
	bad("text", "我的身份证 110105199001011234 在", "身份证")
	v := url.Values{}
	for k, x := range good {
		v[k] = x
	}
	v.Set("kind", "APPLIANCE")
	v.Set("text", "热得快不热了")
	b.postForm("/repair", v).want(422, "宿舍禁用电器")

	b.postForm("/repair", good).follow().want(200, "报修已收到", "已查明原因", "接入交换机 2", "* 处理（报修单 2026-0001）", "302", "QQ", "10月14日 第6周 周三 10:00").lacks("周航", "林小满")
	ticket := strings.Split(b.at, "?")[0]
	if !strings.Contains(b.body, "data:image/png;base64,") || !strings.Contains(b.body, public+ticket) {
		t.Fatal("the page has no code or no link of its own")
	}
	// The same form twice is one ticket.
	b.postForm("/repair", good)
	if got := strings.Split(b.header.Get("Location"), "?")[0]; got != ticket {
		t.Fatalf("pressed again it is %s, not %s", got, ticket)
	}
	b.post(ticket, "act", "note", "note", "还是不行").follow().want(200, "还是不行")
	b.post(ticket, "act", "close").want(422, "已提交")
	b.post(ticket, "act", "erase").want(422, "请先勾选")
	b.post(ticket, "act", "erase", "sure", "yes").follow().want(200, "你的信息已删除")
	b.get(ticket).want(404)
	en := w.browser("en-GB").get(ticket).want(404, "Nothing here")
	if other := w.browser("en-GB").get("/t/zzzz").want(404); stripped(other) != stripped(en) {
		t.Fatal("an erased ticket and one that never was look different")
	}
	b.post("/repair", "act", "link", "ticket", "2026-0001", "contact-kind", "qq", "contact-value", "123456789").follow().want(200, "如果编号和联系方式对得上")
}

// stripped is a page without what differs from request to request.
func stripped(b *browser) string {
	s := b.text()
	if i := strings.Index(s, "rq_"); i >= 0 {
		s = s[:i] + s[i+29:]
	}
	return s
}

func TestStatusAndPrivacyAreOpenToAll(t *testing.T) {
	w := open(t)
	b := w.browser("en")
	b.get("/status").want(200, "The network is well")
	if !strings.Contains(b.body, `http-equiv="refresh"`) {
		t.Error("the status page stays as it was")
	}
	w.outage()
	b.get("/status").want(200, "access switch 2 does not answer").lacks("10.0.0.2")
	b.get("/privacy").want(200, "student or staff number", "15 working days")
	for _, f := range org.Register {
		if !strings.Contains(b.text(), f.Label.En) {
			t.Errorf("/privacy forgets %s", f.Name)
		}
	}
}

func TestLanguage(t *testing.T) {
	w := open(t)
	b := w.browser("zh-CN,en;q=0.5")
	b.get("/").want(200, "我要报修")
	b.get("/?lang=en").want(200, "no account needed")
	b.get("/").want(200, "no account needed")
	if !strings.Contains(b.body, `<html lang="en">`) || b.header.Get("Content-Language") != "en" {
		t.Error("the page does not say that it is English")
	}
}

func TestSignInAndOut(t *testing.T) {
	w := open(t)
	b := w.browser("zh")
	b.get("/inbox").follow().want(200, "登录名")
	if b.hidden("next") != "/inbox" {
		t.Fatal("the way back is lost")
	}
	b.post("/sign-in", "login", "hejing", "password", "wrong-wrong-wrong").want(422).keeps("hejing")
	b.lacks("wrong-wrong-wrong")
	b.post("/sign-in", "login", "hejing", "password", password, "next", "//evil.example/").want(303)
	if got := b.header.Get("Location"); got != "/inbox" {
		t.Fatalf("a foreign way back leads to %s", got)
	}
	c := b.header.Get("Set-Cookie")
	for _, x := range []string{"__Host-kelian=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(c, x) {
			t.Errorf("the cookie lacks %s: %s", x, c)
		}
	}
	if strings.Contains(c, "Max-Age") {
		t.Error("a borrowed device stays signed in")
	}
	b.get("/inbox").want(200, "何静", "没有待办")
	b.get("/account").want(200, "这台", "办公室")
	b.get("/sign-out").want(200, "要退出登录吗")
	b.get("/inbox").want(200)
	token := b.cookies["__Host-kelian"]
	b.post("/sign-out").follow().want(200, "已退出")
	b.cookies["__Host-kelian"] = token
	b.get("/inbox").want(303)

	b.post("/sign-in", "login", "hejing", "password", password, "own", "yes")
	if !strings.Contains(b.header.Get("Set-Cookie"), "Max-Age=2592000") {
		t.Errorf("one's own device: %s", b.header.Get("Set-Cookie"))
	}
}

// On plain http nobody signs in, unless the operator allows it.
func TestPlainHTTP(t *testing.T) {
	w := open(t, func(d *web.Deps) { d.Secure, d.PublicURL = false, "http://10.0.0.5:8080" })
	b := w.browser("zh")
	b.get("/sign-in").want(200, "这里不是 https")
	b.post("/sign-in", "login", "hejing", "password", password).want(422, "KELIAN_ALLOW_HTTP")
	w.deps.AllowHTTP = true
	w.serve()
	b.post("/sign-in", "login", "hejing", "password", password).want(303)
	if c := b.header.Get("Set-Cookie"); !strings.HasPrefix(c, "kelian=") || strings.Contains(c, "Secure") {
		t.Errorf("the cookie on plain http: %s", c)
	}
	b.get("/inbox").want(200, "何静")
}

// A form that another website sends changes nothing.
func TestForeignFormIsRefused(t *testing.T) {
	w := open(t)
	b := w.in("hejing", "zh")
	r, _ := http.NewRequest(http.MethodPost, "/sign-out", nil)
	r.RequestURI = "/sign-out"
	r.Header.Set("Origin", "https://evil.example")
	b.do(r).want(403, "请求来自别的网站")
	b.get("/inbox").want(200)
}

func TestPasswordAndDevices(t *testing.T) {
	w := open(t)
	b, other := w.in("hejing", "zh"), w.in("hejing", "zh")
	b.post("/account", "act", "password", "old", password, "new", "short").want(422, "密码至少 12 个字符")
	b.post("/account", "act", "password", "old", password, "new", "quiet-violet-anchor").follow().want(200, "密码已更改")
	other.get("/inbox").want(303)
	b.post("/account", "act", "everywhere").follow().want(200, "已退出")
	b.get("/inbox").want(303)
}

func TestSetUp(t *testing.T) {
	// A new installation has units and no account.
	w := openEmpty(t)
	token, err := w.deps.Auth.SetupToken(bg)
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser("zh")
	b.get("/setup/"+token).want(200, "第一个账号", "SMTP", "技术部")
	form := []string{"federation-name", "新联合会", "public-url", public, "timezone", "Asia/Shanghai", "name", "何静", "number", "2020001", "login", "hejing",
		"seat", "office.head", "password", password, "password2", password}
	wrong := append([]string{}, form...)
	wrong[len(wrong)-1] = "another-one-entirely"
	b.post("/setup/"+token, wrong...).want(422, "两次输入的密码不一样").keeps("新联合会")
	wrong = append([]string{}, form...)
	wrong[3] = "not an address"
	b.post("/setup/"+token, wrong...).want(422, "网址")
	b.post("/setup/"+token, form...).follow().want(200, "安装完成", "何静")
	if got := w.deps.Installer.(*installer).saved; got.Federation != "新联合会" || got.Timezone != "Asia/Shanghai" {
		t.Fatalf("saved %+v", got)
	}
	b.get("/setup/"+token).want(404, "链接已用过或已过期")
}

func TestResetAndClaimLinks(t *testing.T) {
	w := open(t)
	actor, info, err := w.deps.Auth.Resolve(bg, w.in("hejing", "zh").cookies["__Host-kelian"])
	if err != nil {
		t.Fatal(err)
	}
	reset, err := w.deps.Auth.IssueReset(bg, actor, info, w.people["zhouhang"])
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser("zh")
	b.get("/setup/"+reset).want(200, "设置新密码")
	b.post("/setup/"+reset, "password", "quiet-violet-anchor", "password2", "quiet-violet-anchor").follow().want(200, "密码已更改")
	b.post("/setup/"+reset, "password", "quiet-violet-anchor", "password2", "quiet-violet-anchor").want(404)
	b.post("/sign-in", "login", "zhouhang", "password", "quiet-violet-anchor").want(303)

	roster, err := w.deps.Auth.ImportRoster(bg, w.actor("hejing"), []auth.RosterRow{{Number: "2026900", Name: "李新", Unit: "office", Title: "member"}})
	if err != nil || roster.Lines[0].Error != nil {
		t.Fatal(err, roster)
	}
	n := w.browser("zh")
	n.get("/setup/"+roster.Token).want(200, "认领账号")
	n.post("/setup/"+roster.Token, "number", "2026900", "name", "李旧", "password", password, "password2", password).want(422, "对不上").keeps("2026900")
	n.post("/setup/"+roster.Token, "number", "2026900", "name", "李新", "password", password, "password2", password).follow().want(200, "账号已认领")
	h := w.in("hejing", "zh")
	h.get("/account").want(200, "待确认的新成员", "李新")
	h.post("/account", "act", "claims", "answer", "confirm").want(422, "请先勾选")
	h.get("/account")
	h.post("/account", "act", "claims", "answer", "confirm", "claim", strings.Split(strings.Split(h.body, `name="claim" value="`)[1], `"`)[0]).follow().want(200).lacks("李新")
	w.clock.Advance(time.Minute)
	n.post("/sign-in", "login", "2026900", "password", password).want(303)
}

func TestAssets(t *testing.T) {
	w := open(t)
	b := w.browser("zh").get("/assets/kelian.css").want(200)
	tag := b.header.Get("ETag")
	r, _ := http.NewRequest(http.MethodGet, "/assets/kelian.css", nil)
	r.RequestURI = "/assets/kelian.css"
	r.Header.Set("If-None-Match", tag)
	if b.do(r); tag == "" || b.code != http.StatusNotModified || b.body != "" {
		t.Fatalf("%q: %d with %d bytes", tag, b.code, len(b.body))
	}
	b.get("/assets/none.css").want(404)
}
