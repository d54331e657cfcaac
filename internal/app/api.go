package app

import (
	"net/http"

	"kelian/graph"
	"kelian/internal/httpd"
)

// Schema is the GraphQL schema in SDL.
func Schema() string { return graph.SDL() }

// api is the handler of /graphql.
func (a *App) api(origins *httpd.Origins) (http.Handler, error) {
	return graph.New(graph.Deps{
		Org: a.Org, Auth: a.Auth, Workflow: a.Workflow, Netmon: a.Netmon, Repair: a.Repair, Property: a.Property, Sponsor: a.Sponsor,
		Training: a.Training, Notify: a.Notify, File: a.File, Webhook: a.Webhook, Tracer: a.Tracer, Feed: a.Feed, Clock: a.Clock, PartForm: PartForm, Log: a.Log,
		Cookie:  httpd.Cookie{Secure: a.Config.Secure(), AllowHTTP: a.Config.AllowHTTP},
		Origins: origins, CampusNets: a.Config.CampusNets,
	})
}
