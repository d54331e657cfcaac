package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a machine may have no zone files
)

// Config is what the settings mean.
type Config struct {
	DatabaseURL      string
	DatabaseInsecure bool
	RedisURL         string
	Listen           string
	AdminListen      string
	DataDir          string
	PublicURL        string // without a slash at the end
	TLSCert, TLSKey  string
	TrustedProxies   []netip.Prefix
	CampusNets       []netip.Prefix
	CORSOrigins      []string
	AllowHTTP        bool
	SecretKey        []byte // 32 bytes
	Timezone         *time.Location
	FederationName   string
	ProbeNets        []netip.Prefix
	RDAPBootstrap    string
	WebhookNets      []netip.Prefix
	Mail             Mail
	LogLevel         string
}

// Mail is how e-mail leaves.
type Mail struct {
	Host, User, Password, From string
	Port                       int
	TLS                        string // tls, starttls or none
}

// Parse checks the settings and gives them their types. makeKey allows it to
// make the secret key's file; without it a missing key is an error.
func (v Values) Parse(makeKey bool) (Config, error) {
	c := Config{
		DatabaseURL: v["database-url"].Text, RedisURL: v["redis-url"].Text, Listen: v["listen"].Text,
		AdminListen: v["admin-listen"].Text, DataDir: v["data-dir"].Text, PublicURL: strings.TrimRight(v["public-url"].Text, "/"),
		TLSCert: v["tls-cert"].Text, TLSKey: v["tls-key"].Text, FederationName: v["federation-name"].Text, LogLevel: v["log-level"].Text,
		RDAPBootstrap: v["rdap-bootstrap"].Text,
		Mail:          Mail{Host: v["mail-host"].Text, User: v["mail-user"].Text, Password: v["mail-password"].Text, From: v["mail-from"].Text, TLS: v["mail-tls"].Text},
	}
	var errs []error
	wrong := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s (from %s): %w", name, v[name].Origin, err))
		}
	}
	var err error
	c.DatabaseInsecure, err = strconv.ParseBool(v["database-insecure"].Text)
	wrong("database-insecure", err)
	c.AllowHTTP, err = strconv.ParseBool(v["allow-http"].Text)
	wrong("allow-http", err)
	c.TrustedProxies, err = prefixes(v["trusted-proxies"].Text)
	wrong("trusted-proxies", err)
	c.CampusNets, err = prefixes(v["campus-nets"].Text)
	wrong("campus-nets", err)
	c.ProbeNets, err = prefixes(v["probe-nets"].Text)
	wrong("probe-nets", err)
	c.WebhookNets, err = prefixes(v["webhook-nets"].Text)
	wrong("webhook-nets", err)
	c.CORSOrigins = list(v["cors-origins"].Text)
	for _, o := range c.CORSOrigins {
		wrong("cors-origins", origin(o))
	}
	if c.PublicURL != "" {
		wrong("public-url", origin(c.PublicURL))
	}
	c.Timezone, err = time.LoadLocation(v["timezone"].Text)
	wrong("timezone", err)
	c.Mail.Port, err = strconv.Atoi(v["mail-port"].Text)
	wrong("mail-port", err)
	if m := c.Mail.TLS; m != "tls" && m != "starttls" && m != "none" {
		wrong("mail-tls", errors.New("must be tls, starttls or none"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		wrong("tls-cert", errors.New("tls-cert and tls-key go together"))
	}
	if c.DatabaseURL == "" {
		abs, err := filepath.Abs(filepath.Join(c.DataDir, "kelian.db"))
		wrong("data-dir", err)
		c.DatabaseURL = "sqlite://" + abs
	}
	c.SecretKey, err = secret(v["secret-key"].Text, c.DataDir, makeKey)
	wrong("secret-key", err)
	return c, errors.Join(errs...)
}

// Secure says whether people reach the pages by https.
func (c Config) Secure() bool {
	return c.TLSCert != "" || strings.HasPrefix(c.PublicURL, "https://")
}

// Print writes every setting with its origin; a secret only as set or not.
func (v Values) Print(w io.Writer) {
	for _, o := range Options {
		text := v[o.Name].Text
		if o.Secret && text != "" {
			text = "********"
		}
		fmt.Fprintf(w, "%-18s %-40s # %s; %s\n", strings.ReplaceAll(o.Name, "-", "_")+":", strconv.Quote(text), v[o.Name].Origin, o.Env())
	}
}

func list(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func prefixes(s string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, p := range list(s) {
		if !strings.Contains(p, "/") {
			a, err := netip.ParseAddr(p)
			if err != nil {
				return nil, err
			}
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		pre, err := netip.ParsePrefix(p)
		if err != nil {
			return nil, err
		}
		out = append(out, pre.Masked())
	}
	return out, nil
}

func origin(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("%q is not an address like https://kelian.example.edu", s)
	}
	return nil
}

// secret reads the key, or makes its file, readable by its owner only.
func secret(text, dir string, makeKey bool) ([]byte, error) {
	path := filepath.Join(dir, "secret.key")
	if text == "" {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist) && makeKey:
			return newSecret(path)
		case err != nil:
			return nil, fmt.Errorf("no secret key: set KELIAN_SECRET_KEY or start serve once, which makes %s: %w", path, err)
		case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0: // Windows keeps no such bits
			return nil, fmt.Errorf("%s can be read by others: chmod 600 it", path)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text = strings.TrimSpace(string(raw))
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, errors.New("must be 64 hexadecimal digits")
	}
	return key, nil
}

func newSecret(path string) ([]byte, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	return key, errors.Join(err, f.Sync(), f.Close())
}
