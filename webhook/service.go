package webhook

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// Options says where posts may go.
type Options struct {
	PublicURL string // where links begin, without a slash at the end
	// Dial opens connections for a scheme (https, http) under the policy for
	// its addresses; a scheme that is missing is refused.
	Dial map[string]Dial
	// Vet judges a literal address when an endpoint is set up. nil allows all:
	// the dialer judges anyhow.
	Vet func(scheme string, to netip.AddrPort) error
}

// Service keeps endpoints and posts events to them.
type Service struct {
	db     *store.DB
	clock  clock.Clock
	rules  *org.Table
	public string
	posts  map[string]*poster
	vet    func(string, netip.AddrPort) error
}

// New makes the service.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	s := &Service{db: db, clock: c, rules: rules, public: strings.TrimRight(o.PublicURL, "/"), posts: map[string]*poster{}, vet: o.Vet}
	for scheme, dial := range o.Dial {
		s.posts[scheme] = newPoster(dial)
	}
	return s
}

// NewHook is an endpoint to be made.
type NewHook struct {
	URL         string
	Description string
	Events      []string
}

// Create makes an endpoint and gives its secret, once. The door asks for the
// password.
func (s *Service) Create(ctx context.Context, actor org.Actor, in NewHook) (shown string, made Hook, err error) {
	now := s.clock.Now()
	h := Hook{ID: id.New(), Owner: actor.Person, Generation: 1, CreatedAt: now, ChangedAt: now}
	made, err = command(ctx, s, actor, store.Internal("createWebhook"), now, func(ctx context.Context, tx *store.Tx, actor org.Actor) (Hook, error) {
		if err := s.fill(&h, &in.URL, &in.Description, &in.Events); err != nil {
			return h, err
		}
		n, err := tx.NewSelect().Model((*Hook)(nil)).Count(ctx)
		if err != nil {
			return h, err
		}
		if n >= Most {
			return h, fault.Refuse("TOO_MANY_WEBHOOKS", "最多 "+strconv.Itoa(Most)+" 个端点，请先删掉不用的", "there are at most "+strconv.Itoa(Most)+" endpoints; delete one that is not used")
		}
		tx.Queue(tx.DB.Bun().NewInsert().Model(&h))
		s.record(tx, actor, &h, "create", map[string]any{"host": hostOf(h.URL), "events": h.Types()}, now)
		return h, nil
	})
	return secret(s.db.Key(), made.ID, 1), made, err
}

// UpdateInput changes an endpoint; what is nil stays.
type UpdateInput struct {
	Webhook        id.ID
	URL            *string
	Description    *string
	Events         *[]string
	Enabled        *bool
	IdempotencyKey string
}

// Update changes an endpoint. Switching it off makes what waits for it dead;
// switching it on begins anew, without what happened meanwhile.
func (s *Service) Update(ctx context.Context, actor org.Actor, in UpdateInput) error {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "updateWebhook", in.IdempotencyKey, in)
	_, err := onHook(ctx, s, actor, cmd, in.Webhook, now, func(_ context.Context, tx *store.Tx, actor org.Actor, h *Hook) (id.ID, error) {
		was := h.URL
		if err := s.fill(h, in.URL, in.Description, in.Events); err != nil {
			return h.ID, err
		}
		if h.URL != was && h.Enabled() { // what the old address failed at is not the new one's
			h.FailingSince, h.PauseUntil = time.Time{}, time.Time{}
			laneAt(tx, h.ID, time.Time{})
		}
		if in.Enabled != nil && *in.Enabled != h.Enabled() {
			if *in.Enabled {
				h.Disabled, h.FailingSince, h.PauseUntil = "", time.Time{}, time.Time{}
			} else {
				s.disable(tx, h, ByHand)
			}
		}
		h.ChangedAt = now
		tx.Queue(tx.DB.Bun().NewUpdate().Model(h).Column("url", "description", "events", "disabled", "failing_since", "pause_until", "changed_at").WherePK())
		s.record(tx, actor, h, "update", map[string]any{"host": hostOf(h.URL), "events": h.Types(), "disabled": h.Disabled}, now)
		return h.ID, nil
	})
	return err
}

// HookInput names an endpoint.
type HookInput struct {
	Webhook        id.ID
	IdempotencyKey string
}

// Delete removes an endpoint with its deliveries.
func (s *Service) Delete(ctx context.Context, actor org.Actor, in HookInput) error {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "deleteWebhook", in.IdempotencyKey, in)
	_, err := onHook(ctx, s, actor, cmd, in.Webhook, now, func(_ context.Context, tx *store.Tx, actor org.Actor, h *Hook) (id.ID, error) {
		outbox.Void(tx, h.ID)
		tx.QueueSQL(`DELETE FROM webhook_delivery WHERE webhook = ?`, h.ID)
		tx.QueueSQL(`DELETE FROM webhook WHERE id = ?`, h.ID)
		s.record(tx, actor, h, "delete", map[string]any{"host": hostOf(h.URL)}, now)
		return h.ID, nil
	})
	return err
}

// Rotate gives an endpoint another secret, shown once. Until the overlap ends
// both sign; zero ends the old one at once, for one that leaked. The door asks
// for the password.
func (s *Service) Rotate(ctx context.Context, actor org.Actor, hook id.ID, overlap time.Duration) (shown string, changed Hook, err error) {
	if overlap < 0 || overlap > OverlapMax {
		return "", changed, fault.Input("overlapHours", "overlapHours 为 0 到 168", "overlapHours is between 0 and 168")
	}
	now := s.clock.Now()
	changed, err = onHook(ctx, s, actor, store.Internal("rotateWebhookSecret"), hook, now, func(_ context.Context, tx *store.Tx, actor org.Actor, h *Hook) (Hook, error) {
		h.Generation++
		h.PreviousUntil, h.ChangedAt = now.Add(overlap), now
		tx.Queue(tx.DB.Bun().NewUpdate().Model(h).Column("generation", "previous_until", "changed_at").WherePK())
		s.record(tx, actor, h, "rotate", map[string]any{"generation": h.Generation, "overlap": overlap.String()}, now)
		return *h, nil
	})
	return secret(s.db.Key(), hook, changed.Generation), changed, err
}

// command runs an administrator's command.
func command[T any](ctx context.Context, s *Service, actor org.Actor, cmd store.Command, now time.Time, fn func(context.Context, *store.Tx, org.Actor) (T, error)) (T, error) {
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (out T, err error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err == nil {
			err = s.rules.Check(actor, ActManage, org.Object{})
		}
		if err != nil {
			return out, err
		}
		return fn(ctx, tx, actor)
	})
}

// onHook is command for an endpoint that exists, whose row it locks: whoever
// puts or voids the timer of the endpoint's lane holds that lock.
func onHook[T any](ctx context.Context, s *Service, actor org.Actor, cmd store.Command, hook id.ID, now time.Time,
	fn func(context.Context, *store.Tx, org.Actor, *Hook) (T, error)) (T, error) {
	return command(ctx, s, actor, cmd, now, func(ctx context.Context, tx *store.Tx, actor org.Actor) (out T, err error) {
		h, err := s.lock(ctx, tx, hook)
		if err == nil && h == nil {
			err = fault.Missing()
		}
		if err != nil {
			return out, err
		}
		return fn(ctx, tx, actor, h)
	})
}

// lock reads an endpoint and holds its row; nil = it is gone.
func (s *Service) lock(ctx context.Context, tx *store.Tx, hook id.ID) (*Hook, error) {
	h := new(Hook)
	err := tx.NewRaw(`SELECT *, COALESCE(lease_until > ?, ?) AS busy FROM webhook WHERE id = ? ?`, s.db.Now(), false, hook, s.db.Lock(false)).Scan(ctx, h)
	if store.NoRows(err) {
		return nil, nil
	}
	return h, err
}

// disable switches an endpoint off; what waits for it is dead and can be
// replayed. The caller saves the endpoint.
func (s *Service) disable(tx *store.Tx, h *Hook, why string) {
	h.Disabled = why
	tx.QueueSQL(`UPDATE webhook_delivery SET state = 'failed', reason = ? WHERE webhook = ? AND state = 'waiting'`, reasonOff, h.ID)
	outbox.Void(tx, h.ID)
}

func (s *Service) record(tx *store.Tx, actor org.Actor, h *Hook, verb string, data any, now time.Time) {
	audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: s.rules.Under(actor, ActManage, org.Object{}), Action: "webhook." + verb, Object: h.ref(), Data: data, At: now})
}

// fill checks what an administrator wrote and puts it into the endpoint.
func (s *Service) fill(h *Hook, address, description *string, events *[]string) error {
	if address != nil {
		h.URL = strings.TrimSpace(*address)
		if err := s.checkURL(h.URL); err != nil {
			return err
		}
	}
	if description != nil {
		h.Description = strings.TrimSpace(*description)
		if utf8.RuneCountInString(h.Description) > 200 {
			return fault.Input("description", "说明最多 200 个字", "a description has at most 200 characters")
		}
	}
	if events == nil {
		return nil
	}
	names, err := known(*events)
	h.Events = strings.Join(names, " ")
	return err
}

// checkURL refuses what could never be posted to.
func (s *Service) checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > 2000 || !slices.Contains([]string{"https", "http"}, u.Scheme) || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return fault.Input("url", "请填写 https 网址，不含用户名、密码和 #，最长 2000 字节", "give an https address without user, password and #, of at most 2,000 bytes")
	}
	if s.posts[u.Scheme] == nil {
		return fault.Input("url", "只能用 https；http 只给 KELIAN_WEBHOOK_NETS 里的地址用", "use https; http is only for addresses inside KELIAN_WEBHOOK_NETS")
	}
	port := map[string]uint16{"https": 443, "http": 80}[u.Scheme]
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return fault.Input("url", "端口号不对", "that is no port")
		}
		port = uint16(n)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && s.vet != nil {
		if err := s.vet(u.Scheme, netip.AddrPortFrom(a, port)); err != nil {
			return fault.Input("url", "不能发往这个地址：webhook 只发往公网地址（https），或 KELIAN_WEBHOOK_NETS 里的地址",
				"this address is not allowed: webhooks go to public addresses by https, or to addresses inside KELIAN_WEBHOOK_NETS").Because(err)
		}
	}
	return nil
}

// hostOf is what of an address may stand in a record: its path and query can
// be a credential.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}
