package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kelian/internal/config"
)

func read(t *testing.T, flags config.Flags, env, stored map[string]string) (config.Values, error) {
	t.Helper()
	return config.Read(flags, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, stored)
}

func TestLayers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.yaml")
	if err := os.WriteFile(file, []byte("timezone: Asia/Urumqi\nmail_host: file\nlisten: file:1\ncampus_nets: [10.1.0.0/16, 10.2.0.1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stored := map[string]string{"mail-host": "stored", "mail-from": "a@b", "listen": "stored:1"}
	v, err := read(t, config.Flags{Config: file, Listen: "flag:1", DataDir: t.TempDir()}, map[string]string{"KELIAN_MAIL_HOST": "env", "KELIAN_LISTEN": "env:1"}, stored)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Parse(true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "flag:1" || c.Mail.Host != "env" || c.Mail.From != "a@b" || c.Timezone.String() != "Asia/Urumqi" || len(c.CampusNets) != 2 || c.Mail.Port != 465 {
		t.Fatalf("%+v", c)
	}
	// What was saved since is read again, below the file and the environment.
	if w := v.WithStored(map[string]string{"mail-host": "later", "mail-from": "c@d"}); w["mail-host"].Text != "env" || w["mail-from"].Text != "c@d" || v.Same(w) {
		t.Fatalf("%v", w)
	}
	if w := v.WithStored(map[string]string{"mail-host": "later", "mail-from": "a@b"}); !v.Same(w) {
		t.Fatalf("what is overridden counts as a change: %v", w)
	}
	// What must never come from the table does not.
	v, _ = read(t, config.Flags{}, nil, stored)
	if v["listen"].Text != "127.0.0.1:8080" {
		t.Fatalf("listen came from the table: %v", v["listen"])
	}
}

func TestUnknownKeyIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.yaml")
	if err := os.WriteFile(file, []byte("timezon: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, config.Flags{Config: file}, nil, nil); err == nil || !strings.Contains(err.Error(), `"timezon"`) {
		t.Fatalf("got %v", err)
	}
	if got := config.UnknownEnv([]string{"KELIAN_LISTN=x", "KELIAN_LISTEN=y", "HOME=z"}); len(got) != 1 || got[0] != "KELIAN_LISTN" {
		t.Fatalf("got %v", got)
	}
}

func TestBadValuesAreAllNamed(t *testing.T) {
	v, err := read(t, config.Flags{DataDir: t.TempDir(), Timezone: "Mars", MailTLS: "ssl", PublicURL: "kelian", TLSCert: "x", CORSOrigins: "https://a.example/x"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Parse(true)
	for _, name := range []string{"timezone", "mail-tls", "public-url", "tls-cert", "cors-origins"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}

func TestSecretsAreMaskedAndKept(t *testing.T) {
	dir := t.TempDir()
	v, _ := read(t, config.Flags{DataDir: dir, MailPassword: "hunter22", DatabaseURL: "postgres://u:hunter22@localhost/x"}, nil, nil)
	var out bytes.Buffer
	v.Print(&out)
	if strings.Contains(out.String(), "hunter22") {
		t.Fatal("a secret was printed")
	}
	a, err := v.Parse(true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Parse(false)
	if err != nil || !bytes.Equal(a.SecretKey, b.SecretKey) {
		t.Fatal("the key changed", err)
	}
	if err := os.Chmod(filepath.Join(dir, "secret.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Parse(false); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a key that others can read: %v", err)
	}
}
