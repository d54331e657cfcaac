package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kelian/file"
	"kelian/internal/config"
	"kelian/internal/store"
	"kelian/jobs"
	"kelian/migrations"
	"kelian/netmon/probe"
	"kelian/notify/mail"
)

// finding is one line of the doctor: how it stands and what mends it.
type finding struct {
	ok     bool
	zh, en string
	mend   string // a command or setting, "" = nothing to mend
}

// Doctor looks at everything a running service needs and says what works, what
// does not and what mends it; a fault is an error.
func Doctor(ctx context.Context, v config.Values, out io.Writer) error {
	c, err := v.Parse(false)
	if err != nil {
		return err
	}
	var list []finding
	add := func(f finding) { list = append(list, f) }
	db, err := OpenStore(ctx, c)
	if err != nil {
		add(finding{false, "数据库打不开：" + err.Error(), "the database cannot be opened: " + err.Error(), "KELIAN_DATABASE_URL"})
	} else {
		defer func() { _ = db.Close() }()
		examineDatabase(ctx, db, add)
		c = examineSettings(ctx, db, v, c, add)
	}
	examineQueue(ctx, c, add)
	examineProbes(add)
	examineDisk(c, add)
	if db != nil {
		examineFiles(ctx, db, c, add)
		examineRequests(ctx, db, add)
	}
	examineMail(ctx, c, add)
	examineHTTP(c, add)
	bad := 0
	for _, f := range list {
		mark := "✓"
		if !f.ok {
			mark = "✗"
			bad++
		}
		fmt.Fprintf(out, "%s %s\n  %s\n", mark, f.zh, f.en)
		if f.mend != "" {
			fmt.Fprintf(out, "  → %s\n", f.mend)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d things need mending", bad)
	}
	return nil
}

func examineDatabase(ctx context.Context, db *store.DB, add func(finding)) {
	kind := "SQLite"
	if db.Postgres() {
		kind = "PostgreSQL"
	}
	if err := migrations.Check(ctx, db.Bun()); err != nil {
		add(finding{false, kind + " 的表结构不是最新", kind + ": " + err.Error(), "kelian migrate"})
		return
	}
	add(finding{true, kind + " 正常，表结构最新", kind + " answers and its schema is up to date", ""})
	var now time.Time
	if err := db.R.NewRaw("SELECT ? AS now", db.Now()).Scan(ctx, &now); err == nil {
		if off := time.Since(now).Abs(); off > 5*time.Second {
			add(finding{false, fmt.Sprintf("本机时钟与数据库相差 %s", off.Round(time.Second)), fmt.Sprintf("this machine's clock is %s off the database's", off.Round(time.Second)), "timedatectl set-ntp true"})
			return
		}
		add(finding{true, "时钟一致", "the clocks agree", ""})
	}
}

// examineSettings gives the settings with those of the table.
func examineSettings(ctx context.Context, db *store.DB, v config.Values, c config.Config, add func(finding)) config.Config {
	stored, err := storedSettings(ctx, db)
	if err != nil {
		return c // the database was found wanting already
	}
	whole, err := v.WithStored(stored).Parse(false)
	if err != nil {
		add(finding{false, "数据库里保存的设置用不了：" + err.Error(), "the settings kept in the database cannot be used: " + err.Error(), "KELIAN_PUBLIC_URL, KELIAN_TIMEZONE, KELIAN_MAIL_…"})
		return c
	}
	return whole
}

func examineQueue(ctx context.Context, c config.Config, add func(finding)) {
	if c.RedisURL == "" {
		add(finding{true, "队列在进程内（不持久，只适合单进程；数据库保证不丢）", "the queue is inside the process (not durable, for one process only; the database loses nothing)", ""})
		return
	}
	r, err := jobs.OpenRedis(c.RedisURL)
	if err == nil {
		defer r.Close()
		err = r.Ping(ctx)
	}
	if err != nil {
		add(finding{false, "Redis 不应答；后台工作会推迟，不会丢", "Redis does not answer; background work is late, not lost", "KELIAN_REDIS_URL"})
		return
	}
	add(finding{true, "Redis 正常", "Redis answers", ""})
}

func examineProbes(add func(finding)) {
	s, err := probe.Open(probe.Options{})
	if err != nil {
		add(finding{false, "探测器打不开", "the prober cannot be opened: " + err.Error(), ""})
		return
	}
	defer func() { _ = s.Close() }()
	mode, diag := s.Mode()
	add(finding{mode != probe.ModeNone, "ICMP 探测方式：" + string(mode) + "。" + diag.Zh, "ICMP mode: " + string(mode) + ". " + diag.En, diag.Command})
}

func examineDisk(c config.Config, add func(finding)) {
	name := filepath.Join(c.DataDir, ".doctor")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		add(finding{false, "数据目录写不进去：" + c.DataDir, "the data directory cannot be written: " + err.Error(), ""})
		return
	}
	_ = os.Remove(name)
	add(finding{true, "数据目录可写：" + c.DataDir, "the data directory can be written: " + c.DataDir, ""})
}

func examineFiles(ctx context.Context, db *store.DB, c config.Config, add func(finding)) {
	n, faults, err := file.Verify(ctx, db, blobDir(c), false)
	if err != nil {
		return // the database was found wanting already
	}
	for i, f := range faults {
		if i == 20 {
			add(finding{false, fmt.Sprintf("还有 %d 个附件有问题", len(faults)-i), fmt.Sprintf("%d more uploaded files are at fault", len(faults)-i), ""})
			break
		}
		add(finding{false, "附件内容丢失：" + f.SHA256, "an uploaded file is at fault: " + f.SHA256 + ": " + f.What, "kelian restore, or put it back at " + filepath.Join(blobDir(c), f.SHA256[:2], f.SHA256[2:4], f.SHA256)})
	}
	if len(faults) == 0 {
		add(finding{true, fmt.Sprintf("附件完整（%d 个）", n), fmt.Sprintf("all %d uploaded files are there", n), ""})
	}
}

func examineMail(ctx context.Context, c config.Config, add func(finding)) {
	m := c.Mail
	if m.Host == "" {
		add(finding{true, "没有配置邮件：站内通知和待通知列表会代替它", "no mail is configured: the inbox and the to-tell list carry everything", "KELIAN_MAIL_HOST"})
		return
	}
	s, err := mail.New(mail.Config{Host: m.Host, Port: m.Port, User: m.User, Password: m.Password, From: m.From, TLS: mailTLS[m.TLS]})
	if err == nil {
		err = s.Check(ctx)
	}
	if err != nil {
		add(finding{false, "邮件服务器用不了", "the mail server cannot be used: " + err.Error(), "KELIAN_MAIL_HOST, KELIAN_MAIL_PORT, KELIAN_MAIL_TLS"})
		return
	}
	add(finding{true, "邮件服务器正常", "the mail server answers", ""})
}

func examineHTTP(c config.Config, add func(finding)) {
	switch {
	case c.Secure():
		add(finding{true, "网页走 https", "people come by https", ""})
	case c.AllowHTTP:
		add(finding{true, "网页走明文 http：密码和内容在网络上可被看到，只适合校园内网", "people come by plain http: passwords and contents can be read on the way; for a network inside the campus only", "--tls-cert, --tls-key"})
	case strings.HasPrefix(c.Listen, "127.") || strings.HasPrefix(c.Listen, "localhost"):
		add(finding{false, "没有 https，也没有允许 http：没有人能登录", "neither https nor allowed http: nobody can sign in", "KELIAN_PUBLIC_URL=https://…, or KELIAN_ALLOW_HTTP=true"})
	default:
		add(finding{false, "没有 https，也没有允许 http：没有人能登录", "neither https nor allowed http: nobody can sign in", "--tls-cert, --tls-key, or KELIAN_ALLOW_HTTP=true"})
	}
	if c.PublicURL == "" {
		add(finding{false, "没有设置公开地址：链接和二维码无法使用", "no public address is set: links and QR codes cannot work", "KELIAN_PUBLIC_URL"})
	}
}
