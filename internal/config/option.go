// Package config reads Kelian's settings. Each comes from, in rising order:
// its default, the table setting (a few, written by the set-up), the YAML
// file, the environment (KELIAN_…), the command line. Unknown keys are
// refused; secrets are never printed.
package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Option describes one setting. Its environment variable is KELIAN_ and the
// name in capitals, its YAML key the name with _ for -, its flag --name.
type Option struct {
	Name    string
	Default string
	Secret  bool
	Stored  bool // may stand in the table setting
	Help    string
}

// Options lists every setting.
var Options = []Option{
	{Name: "database-url", Help: "sqlite:///path or postgres://…; empty = kelian.db in the data directory", Secret: true},
	{Name: "database-insecure", Default: "false", Help: "accept a remote database server without verified TLS"},
	{Name: "redis-url", Help: "redis://…; empty = a queue inside this process, for a single process only", Secret: true},
	{Name: "listen", Default: "127.0.0.1:8080", Help: "address of pages and API"},
	{Name: "admin-listen", Default: "127.0.0.1:8081", Help: "address of metrics and pprof; never a public one"},
	{Name: "data-dir", Default: "./kelian-data", Help: "directory of the database file, key, blobs and checkpoints"},
	{Name: "public-url", Stored: true, Help: "the address that people open, e.g. https://kelian.example.edu; every link is made from it"},
	{Name: "tls-cert", Help: "certificate file, to serve https"},
	{Name: "tls-key", Help: "key file of the certificate"},
	{Name: "trusted-proxies", Help: "CIDRs whose forwarded headers are believed, separated by commas"},
	{Name: "campus-nets", Default: "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,127.0.0.0/8,::1/128,fc00::/7", Help: "CIDRs behind which many people share an address"},
	{Name: "cors-origins", Help: "exact origins of web clients elsewhere, bearer tokens only"},
	{Name: "allow-http", Default: "false", Help: "allow sign-in over plain http, for a box inside the campus"},
	{Name: "secret-key", Secret: true, Help: "64 hexadecimal digits; empty = the file secret.key in the data directory, made at first start"},
	{Name: "timezone", Default: "Asia/Shanghai", Stored: true, Help: "zone of everything that a person reads"},
	{Name: "federation-name", Default: "科技联合会", Stored: true, Help: "the federation's name, shown on every page"},
	{Name: "probe-nets", Help: "CIDRs that the monitor may probe; empty = none"},
	{Name: "rdap-bootstrap", Default: "https://data.iana.org/rdap/dns.json", Help: "list of the registries of domains (RFC 9224), asked by the monitor when a domain ends; empty = it is not"},
	{Name: "webhook-nets", Help: "CIDRs that are not public and that webhooks may be sent to all the same, also over plain http; empty = public addresses over https only"},
	{Name: "mail-host", Stored: true, Help: "SMTP server; empty = no e-mail is sent"},
	{Name: "mail-port", Default: "465", Stored: true, Help: "port of the SMTP server"},
	{Name: "mail-user", Stored: true, Help: "user at the SMTP server"},
	{Name: "mail-password", Secret: true, Help: "password at the SMTP server"},
	{Name: "mail-from", Stored: true, Help: "sender's address"},
	{Name: "mail-tls", Default: "tls", Stored: true, Help: "tls, starttls or none"},
	{Name: "log-level", Default: "info", Help: "debug, info, warn or error"},
}

// Flags are the same settings on the command line; "" = not given.
type Flags struct {
	Config           string `name:"config" help:"YAML file with settings." type:"path"`
	DatabaseURL      string `name:"database-url" help:"Database: sqlite:///path or postgres://…"`
	DatabaseInsecure string `name:"database-insecure" help:"true = accept a remote database without verified TLS."`
	RedisURL         string `name:"redis-url" help:"Redis for background work; empty = inside this process."`
	Listen           string `name:"listen" help:"Address of pages and API (127.0.0.1:8080)."`
	AdminListen      string `name:"admin-listen" help:"Address of metrics and pprof (127.0.0.1:8081)."`
	DataDir          string `name:"data-dir" help:"Data directory (./kelian-data)."`
	PublicURL        string `name:"public-url" help:"Address that people open."`
	TLSCert          string `name:"tls-cert" help:"Certificate file."`
	TLSKey           string `name:"tls-key" help:"Key file."`
	TrustedProxies   string `name:"trusted-proxies" help:"CIDRs whose forwarded headers are believed."`
	CampusNets       string `name:"campus-nets" help:"CIDRs behind which many people share an address."`
	CORSOrigins      string `name:"cors-origins" help:"Exact origins of web clients elsewhere."`
	AllowHTTP        string `name:"allow-http" help:"true = allow sign-in over plain http."`
	SecretKey        string `name:"secret-key" help:"64 hexadecimal digits."`
	Timezone         string `name:"timezone" help:"Time zone (Asia/Shanghai)."`
	FederationName   string `name:"federation-name" help:"The federation's name."`
	ProbeNets        string `name:"probe-nets" help:"CIDRs that the monitor may probe."`
	RDAPBootstrap    string `name:"rdap-bootstrap" help:"List of the registries of domains."`
	WebhookNets      string `name:"webhook-nets" help:"CIDRs beside the public ones that webhooks may be sent to."`
	MailHost         string `name:"mail-host" help:"SMTP server."`
	MailPort         string `name:"mail-port" help:"Port of the SMTP server (465)."`
	MailUser         string `name:"mail-user" help:"User at the SMTP server."`
	MailPassword     string `name:"mail-password" help:"Password at the SMTP server."`
	MailFrom         string `name:"mail-from" help:"Sender's address."`
	MailTLS          string `name:"mail-tls" help:"tls, starttls or none."`
	LogLevel         string `name:"log-level" help:"debug, info, warn or error."`
}

// Value is a setting with where it came from.
type Value struct {
	Text   string
	Origin string // default, stored, file, environment, flag
}

// Values are all settings by name.
type Values map[string]Value

// WithStored gives the settings with what the table setting holds now; what
// stands above it stays.
func (v Values) WithStored(stored map[string]string) Values {
	out := maps.Clone(v)
	for _, o := range Options {
		if origin := v[o.Name].Origin; !o.Stored || (origin != "default" && origin != "stored") {
			continue
		}
		out[o.Name] = Value{o.Default, "default"}
		if text, ok := stored[o.Name]; ok {
			out[o.Name] = Value{text, "stored"}
		}
	}
	return out
}

// Same says whether two readings mean the same, wherever each text comes from.
func (v Values) Same(w Values) bool {
	return maps.EqualFunc(v, w, func(a, b Value) bool { return a.Text == b.Text })
}

// Read collects the settings; stored is what the table setting holds.
func Read(flags Flags, env func(string) (string, bool), stored map[string]string) (Values, error) {
	out := Values{}
	for _, o := range Options {
		out[o.Name] = Value{o.Default, "default"}
	}
	path := flags.Config
	if v, ok := env("KELIAN_CONFIG"); path == "" && ok {
		path = v
	}
	if path != "" {
		if err := out.file(path); err != nil {
			return nil, err
		}
	}
	for _, o := range Options {
		if v, ok := env(o.Env()); ok {
			out[o.Name] = Value{v, "environment"}
		}
	}
	v := reflect.ValueOf(flags)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("name")
		if s := v.Field(i).String(); s != "" && name != "config" {
			out[name] = Value{s, "flag"}
		}
	}
	return out.WithStored(stored), nil
}

// Env is the option's environment variable.
func (o Option) Env() string {
	return "KELIAN_" + strings.ToUpper(strings.ReplaceAll(o.Name, "-", "_"))
}

func (v Values) file(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("settings: %s: %w", path, err)
	}
	for key, val := range doc {
		name := strings.ReplaceAll(key, "_", "-")
		i := slices.IndexFunc(Options, func(o Option) bool { return o.Name == name })
		if i < 0 {
			return fmt.Errorf("settings: %s: unknown key %q; kelian config lists the keys", path, key)
		}
		if list, ok := val.([]any); ok {
			var parts []string
			for _, p := range list {
				parts = append(parts, fmt.Sprint(p))
			}
			val = strings.Join(parts, ",")
		}
		v[name] = Value{fmt.Sprint(val), "file"}
	}
	return nil
}

// UnknownEnv lists variables that begin with KELIAN_ and mean nothing, so that
// a misspelt one does not go unseen.
func UnknownEnv(environ []string) []string {
	known := map[string]bool{"KELIAN_CONFIG": true}
	for _, o := range Options {
		known[o.Env()] = true
	}
	var out []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "KELIAN_") && !known[name] && !strings.HasPrefix(name, "KELIAN_TEST_") &&
			!slices.Contains([]string{"KELIAN_KILL_AT", "KELIAN_PAUSE_AT", "KELIAN_CHROMIUM", "KELIAN_FAULT_TIMING", "KELIAN_FAULT_CUT", "KELIAN_FAULT_BUG"}, name) {
			out = append(out, name)
		}
	}
	return out
}
