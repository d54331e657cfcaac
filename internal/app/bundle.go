package app

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/web"
	"kelian/workflow"
	"kelian/workflow/evidence"
)

// bundleDoor is GET /requests/{id}/bundle: the proof of a request as a file,
// for a session or an API token.
func (a *App) bundleDoor(pages *web.Site) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		out, err := a.bundleFor(w, r)
		if err != nil {
			e, ok := fault.As(err)
			if !ok {
				a.Log.ErrorContext(r.Context(), "bundle", "error", err)
				e = fault.Busy(err)
			}
			httpd.Refuse(w, r, httpd.Status(e), e, pages.ErrorPage)
			return
		}
		w.Header().Set("Content-Type", evidence.MediaType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+out.Name+`"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(out.Body)))
		_, _ = w.Write(out.Body)
	}
}

func (a *App) bundleFor(w http.ResponseWriter, r *http.Request) (workflow.Export, error) {
	actor, err := a.identify(w, r)
	if err != nil {
		return workflow.Export{}, err
	}
	request, err := id.Parse(workflow.RefRequest, r.PathValue("id"))
	if err != nil {
		return workflow.Export{}, fault.Missing()
	}
	return a.Workflow.Export(r.Context(), actor, request)
}

// PrintAuditKey prints the public key that proves checkpoints and bundles, and
// in whose name they are signed.
func PrintAuditKey(ctx context.Context, v config.Values, out io.Writer) error {
	_, c, err := withStored(ctx, v)
	if err != nil {
		return err
	}
	by := signer(c)
	_, err = fmt.Fprintf(out, "%s %s\n", base64.StdEncoding.EncodeToString(by.Public()), by.Origin)
	return err
}

// VerifyBundle checks an exported request by itself: no database, no server.
// key is the signer's public key in base64, "" = the one in the bundle.
func VerifyBundle(path, key string, out io.Writer) error {
	var public ed25519.PublicKey
	if key != "" {
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return errors.New("--key is the base64 text that kelian audit key prints")
		}
		public = raw
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	f, err := evidence.Verify(in, public)
	if err != nil {
		return err
	}
	printFinding(out, f)
	if len(f.Faults) > 0 {
		return fmt.Errorf("the bundle has %d faults", len(f.Faults))
	}
	fmt.Fprintln(out, "OK")
	return nil
}

func printFinding(out io.Writer, f evidence.Finding) {
	r := f.Request
	fmt.Fprintf(out, "request: %s %s (%s)\nsays: %s, form revision %d\n", r.ID, r.Number, r.Definition, r.Status, r.FormRev)
	fmt.Fprintf(out, "signed by: %s, %s\n", f.Header.Origin, f.Header.MadeAt.Format(time.RFC3339))
	if f.Given {
		fmt.Fprintf(out, "key: %s (given)\n", f.Key)
	} else {
		fmt.Fprintf(out, "key: %s (FROM THE BUNDLE ITSELF: it proves who signed only if it is the one that `kelian audit key` prints there; check with --key)\n", f.Key)
	}
	fmt.Fprintf(out, "events: %d\nvotes whose reading is proved: %d\nopinions proved: %d, erased since: %d\n", f.Events, f.Votes, f.Notes, f.Erased)
	fmt.Fprintf(out, "audit rows under a signed checkpoint: %d, not sealed yet: %d\n", f.Sealed, f.Unsealed)
	if !f.Outcome {
		fmt.Fprintln(out, "the newest event was not sealed yet when the bundle was made: export it again for that proof")
	}
	for _, x := range f.Attachments {
		fmt.Fprintf(out, "attachment: %s sha256 %s\n", x.Where, x.SHA256)
	}
	for _, x := range f.Faults {
		fmt.Fprintln(out, "FAULT:", x)
	}
}
