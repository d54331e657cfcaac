package app

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"kelian/desk/tell"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon"
	"kelian/org"
)

// pushDoor takes the report of something that is watched by its heartbeat:
// /push/<secret>?status=up|down&msg=…&ms=…, by GET, HEAD or POST, the parameters
// also as a form. ping counts as ms, as other monitors call it.
func (a *App) pushDoor(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		httpd.Refuse(w, r, http.StatusMethodNotAllowed, fault.Input("method", "请用 GET 或 POST", "use GET or POST"), nil)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		httpd.Refuse(w, r, http.StatusBadRequest, fault.Input("body", "参数读不懂", "the parameters cannot be read"), nil)
		return
	}
	in := netmon.Report{Down: r.Form.Get("status") == "down", Message: r.Form.Get("msg")}
	ms := r.Form.Get("ms")
	if ms == "" {
		ms = r.Form.Get("ping")
	}
	if n, err := strconv.ParseFloat(ms, 64); err == nil && n > 0 && n < 1e9 {
		in.Took = time.Duration(n * float64(time.Millisecond))
	}
	w.Header().Set("Cache-Control", "no-store")
	switch err := a.Netmon.Push(r.Context(), r.PathValue("secret"), in); {
	case err == nil:
		_, _ = w.Write([]byte("ok\n"))
	case fault.Is(err, fault.NotFound):
		httpd.Refuse(w, r, http.StatusNotFound, fault.Missing(), nil)
	default:
		httpd.Refuse(w, r, http.StatusServiceUnavailable, fault.Busy(err), nil)
	}
}

// onWarned tells who looks after the network that something ends soon.
func (a *App) onWarned(ctx context.Context, d outbox.Delivery) error {
	var p struct {
		Check id.ID `json:"check"`
	}
	if err := d.Decode(&p); err != nil {
		return err
	}
	hosts, err := a.Netmon.HostOfCheck(ctx, org.System(), p.Check)
	if err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		for _, h := range hosts {
			for _, c := range h.Checks {
				if c.ID != p.Check || c.Warning.En == "" {
					continue // renewed or removed meanwhile
				}
				return a.tellNetwork(ctx, tx, tell.Message{Topic: "check.warned", Ref: outbox.Ref{Kind: netmon.RefHost, ID: h.ID}, At: a.Clock.Now(), Path: "/incidents",
					Params: map[string]string{"what.zh": h.Name.Zh + " · " + c.Name.Zh, "what.en": h.Name.En + " · " + c.Name.En, "left.zh": c.Warning.Zh, "left.en": c.Warning.En}})
			}
		}
		return nil
	})
}

// tellNetwork gives a message to everybody who looks after the network, once.
func (a *App) tellNetwork(ctx context.Context, tx *store.Tx, m tell.Message) error {
	return tell.Teller(put).Seats(ctx, tx, m, "technical.head", "technical.deputy", "technical.information.member", "technical.information.technician")
}
