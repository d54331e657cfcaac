package web

import (
	"embed"
	"io/fs"

	"kelian/internal/httpd"
)

//go:embed graphiql/dist
var graphiqlFiles embed.FS

// graphiqlPolicy is the policy of the one page with scripts. CodeMirror sets
// styles as it draws; nothing comes from elsewhere.
func graphiqlPolicy() httpd.Policy {
	return httpd.StrictPolicy().With("style-src", "'self' 'unsafe-inline'").With("font-src", "'self' data:").With("img-src", "'self' data:").
		With("script-src", "'self'").With("connect-src", "'self'")
}

func (s *Site) serveGraphiql() {
	sub, err := fs.Sub(graphiqlFiles, "graphiql/dist")
	if err != nil {
		panic(err)
	}
	s.serveFiles("/graphiql/assets/", sub)
}

// graphiql is the workbench for the API, for those with an account.
func (c *call) graphiql() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	httpd.SetPolicy(c.w, graphiqlPolicy())
	return c.write("graphiql", &page{Title: "GraphiQL", Plain: true})
}
