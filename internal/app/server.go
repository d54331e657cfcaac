package app

import (
	"encoding/json"
	"net/http"
	"net/netip"

	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/netmon/probe/faulty"
	"kelian/web"
)

// server puts both doors behind one listener: /graphql, and everything else
// is pages.
func (a *App) server(health *httpd.Health) (*httpd.Server, error) {
	cert, err := a.tls()
	if err != nil {
		return nil, err
	}
	origins, err := httpd.NewOrigins(a.Config.PublicURL, a.Config.CORSOrigins)
	if err != nil {
		return nil, err
	}
	api, err := a.api(origins)
	if err != nil {
		return nil, err
	}
	pages := web.New(web.Deps{
		PublicURL: a.Config.PublicURL, Federation: a.Config.FederationName, Location: a.Config.Timezone, Secure: a.Config.Secure(), AllowHTTP: a.Config.AllowHTTP,
		Clock: a.Clock, Log: a.Log, Rules: a.Rules, Org: a.Org, Auth: a.Auth, Workflow: a.Workflow, Netmon: a.Netmon, Repair: a.Repair,
		Property: a.Property, Sponsor: a.Sponsor, Notify: a.Notify, File: a.File, Trace: a.Tracer, Installer: installer{a}, Demo: a.options.Demo,
		PartForm: func(text string, amount int64, ticket string) (string, string, map[string]any) {
			return partDefinition, partUnit, PartForm(text, amount, ticket)
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/graphql", api)
	mux.HandleFunc("GET /graphql/schema.graphql", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(Schema()))
	})
	a.fileDoor(pages).Mount(mux)
	mux.HandleFunc("GET /requests/{id}/bundle", a.bundleDoor(pages))
	mux.HandleFunc("/push/{secret}", a.pushDoor)
	mux.Handle("/", pages)
	return httpd.New(httpd.Options{
		Log: a.Log, Health: health, PublicURL: a.Config.PublicURL, TrustedProxies: a.Config.TrustedProxies, CampusNets: a.Config.CampusNets,
		CORSOrigins: a.Config.CORSOrigins, TLS: cert, Metrics: a.Metrics(), ErrorPage: pages.ErrorPage, Lang: web.Lang,
	}, mux)
}

// cutter cuts and mends a faulty network through the admin listener.
type cutter struct{ net *faulty.Network }

func (c cutter) mount(mux *http.ServeMux) {
	for path, f := range map[string]func(...netip.Addr){"POST /network/cut": c.net.Cut, "POST /network/restore": c.net.Restore} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			var addrs []netip.Addr
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&addrs); err != nil {
				httpd.Refuse(w, r, http.StatusBadRequest, fault.Input("body", "须是地址的 JSON 数组", "must be a JSON array of addresses"), nil)
				return
			}
			f(addrs...)
			w.WriteHeader(http.StatusNoContent)
		})
	}
}
