package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"kelian/file"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
)

// filer binds requests and files as the composition root does.
type filer struct{ *world }

func (f filer) AskAttach(r *store.Reads, owner, request id.ID, list []workflow.Attachment) func(*store.Tx) []id.ID {
	files := make([]file.Attachment, len(list))
	for i, l := range list {
		files[i] = file.Attachment(l)
	}
	return f.files.AskBind(r, owner, outbox.Ref{Kind: "req", ID: request}, files)
}

func (f filer) MayRead(ctx context.Context, actor org.Actor, requests []id.ID) (func(request, x id.ID) file.Access, error) {
	seen, err := f.workflow.Attached(ctx, actor, requests...)
	return func(request, x id.ID) file.Access {
		if _, ok := seen[request][x]; ok {
			return file.Readable
		}
		return file.Hidden
	}, err
}

// Files of many requests are read together, and a hidden field hides its file.
func TestRequestsTellTheirFiles(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for i := range 3 {
			f, err := w.files.Store(bg, org.Actor{Person: w.people["zhouhang"]}, file.Input{Name: "报价.pdf", Body: strings.NewReader(fmt.Sprint("%PDF-1.7 ", i))})
			if err != nil {
				t.Fatal(err)
			}
			value := form(t, fmt.Sprintf(switches, 1, 1))
			value["quote_file"] = vars{"file": f.ID.TypeID("fil"), "sha256": f.SHA256}
			w.good("zhouhang", submit, vars{"form": value, "key": w.key()})
		}
		list := func(login string, first int) ([]any, int64) {
			before := db.Trips()
			a := w.good(login, `query($n:Int){requests(first:$n){edges{node{files{id name size mediaType sha256 url}}}}}`, vars{"n": first})
			return a.at("requests", "edges").([]any), db.Trips() - before
		}
		_, one := list("zhouhang", 1)
		edges, three := list("zhouhang", 3)
		if three != one {
			t.Errorf("one request takes %d messages, three take %d", one, three)
		}
		for _, e := range edges {
			files := e.(map[string]any)["node"].(map[string]any)["files"].([]any)
			if len(files) != 1 || files[0].(map[string]any)["name"] != "报价.pdf" || files[0].(map[string]any)["url"] != "/files/"+fmt.Sprint(files[0].(map[string]any)["id"]) ||
				fmt.Sprint(files[0].(map[string]any)["size"]) != "10" || files[0].(map[string]any)["mediaType"] != "application/pdf" {
				t.Errorf("files %v", files)
			}
		}
		edges, _ = list("songlan", 3)
		if len(edges) != 3 {
			t.Fatalf("the keeper sees %d requests", len(edges))
		}
		for _, e := range edges {
			if files := e.(map[string]any)["node"].(map[string]any)["files"].([]any); len(files) != 0 {
				t.Errorf("the keeper sees %v", files)
			}
		}
	})
}
