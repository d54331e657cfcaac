package repair

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// SubmitInput is a report. Name, Building, Text, Contact and Consent are
// needed; the language is the actor's.
type SubmitInput struct {
	Kind           Kind
	Building       string // 1 to 60 characters, as the hosts name it
	Room           string // at most 30
	Text           string // 1 to 2,000
	Name           string // 1 to 50
	Number         string // student or staff number
	College        string // at most 60
	Contact        Contact
	Device         bool   // a device is handed in; appliances and computers always are
	Consent        string // ConsentVersion
	Door           string // form, graphql, embed; "" = form
	IdempotencyKey string
}

// Receipt is what the reporter gets. Token opens the ticket's page, /t/<token>;
// it is derived and stored nowhere, so a repeated submission gets it again.
type Receipt struct {
	Ticket id.ID
	Number string
	Token  string
	Outage *Outage // the incident that explains it, if one does
}

// Outage is what is known about the incident behind a report.
type Outage struct {
	Incident id.ID
	Title    Words
	Reason   Words
	Worker   string // who works on it, as 张*; "" = nobody yet
	Ticket   string // its own ticket's number, "" = none yet
	State    State
}

type submitted struct {
	Ticket   id.ID
	Number   string
	Attached bool
}

// Submit takes a report from anybody.
func (s *Service) Submit(ctx context.Context, actor org.Actor, in SubmitInput) (Receipt, error) {
	now := s.clock.Now()
	r, err := in.check(actor)
	if err != nil {
		return Receipt{}, err
	}
	cmd := store.FromClient(s.db, actor.Person, "submitRepair", in.IdempotencyKey, in)
	out, err := store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (submitted, error) {
		t := in.ticket(actor, now)
		t.Contact, t.Place, t.LinkHash = s.hash("contact", r.contact), s.place(in.Building), linkHash(s.LinkToken(t.ID))
		if t.Kind == Network && s.Outages != nil {
			incident, _, ok, err := s.Outages.OpenForBuilding(ctx, tx, strings.TrimSpace(in.Building))
			if err != nil {
				return submitted{}, err
			}
			if ok {
				t.Incident = incident
			}
		}
		// The number comes last: its counter is locked until the commit.
		reads := store.NewReads(tx)
		judged := org.AskJudge(reads, actor, now)
		limit, number := s.askLimit(reads, tx, t.Contact, now), s.askNumber(reads, now)
		if err := reads.Run(ctx); err != nil {
			return submitted{}, err
		}
		actor, err := judged()
		if err == nil {
			err = s.rules.Check(actor, "repair.submit", org.Object{})
		}
		if err == nil {
			err = limit()
		}
		if err != nil {
			return submitted{}, err
		}
		t.Number = number()
		a := &act{ctx: ctx, tx: tx, s: s, now: now, actor: actor, roles: []Role{Reporter}, t: t}
		a.put(r.values, in.Door)
		return submitted{t.ID, t.Number, t.attached()}, nil
	})
	if err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{Ticket: out.Ticket, Number: out.Number, Token: s.LinkToken(out.Ticket)}
	if out.Attached {
		receipt.Outage, err = s.outageOf(ctx, out.Ticket)
	}
	return receipt, err
}

type report struct {
	values  map[string]string
	contact string
}

func (in SubmitInput) check(actor org.Actor) (r report, err error) {
	if !slices.Contains(Kinds, in.Kind) {
		return r, fault.Input("kind", "请选择报修种类", "choose what is broken")
	}
	for _, c := range []struct {
		field, text string
		least, most int
	}{{"building", in.Building, 1, 60}, {"room", in.Room, 0, 30}, {"text", in.Text, 1, 2000}, {"college", in.College, 0, 60}} {
		if err := checkText(c.field, c.text, c.least, c.most); err != nil {
			return r, err
		}
	}
	name, err := org.CheckName(in.Name)
	if err != nil {
		return r, err
	}
	if in.Number != "" {
		if in.Number, err = org.CheckNumber(in.Number); err != nil {
			return r, err
		}
		if err := checkText("number", in.Number, 1, 32); err != nil {
			return r, err
		}
	}
	contact, canonical, err := in.Contact.check()
	if err != nil {
		return r, err
	}
	if in.Consent != ConsentVersion {
		return r, fault.Input("consent", "请阅读并同意最新的说明后再提交", "read the present text and agree to it before you send")
	}
	if in.IdempotencyKey != "" && actor.Anonymous() && len(in.IdempotencyKey) < 22 {
		return r, fault.Input("idempotencyKey", "未登录时，幂等键至少要 128 位随机数", "without an account the idempotency key needs at least 128 random bits")
	}
	if err := refuseForbidden(in.Kind, in.Text); err != nil {
		return r, err
	}
	r.contact = canonical
	r.values = map[string]string{fieldName: name, fieldBuilding: in.Building, fieldText: in.Text, contact.Kind: contact.Value}
	for field, v := range map[string]string{fieldNumber: in.Number, fieldCollege: in.College, fieldRoom: in.Room} {
		if strings.TrimSpace(v) != "" {
			r.values[field] = v
		}
	}
	return r, nil
}

func (in SubmitInput) ticket(actor org.Actor, now time.Time) *Ticket {
	lang := "zh"
	if actor.Lang == "en" {
		lang = "en"
	}
	return &Ticket{ID: id.New(), Source: FromReport, Kind: in.Kind, State: Submitted, Owner: actor.Person, Lang: lang,
		Device: in.Device || in.Kind == Appliance || in.Kind == Computer, Skills: strings.Join(in.Kind.skills(), ","),
		Version: 1, CreatedAt: now, DueAt: now.Add(in.Kind.term())}
}

// askLimit counts the submission against the contact: MaxDaily a local day,
// MaxOpen that nobody has finished. The contact's row is locked first, so that
// submissions at the same time are counted one after the other; other contacts
// are not touched, however many come from one address.
func (s *Service) askLimit(r *store.Reads, tx *store.Tx, contact string, now time.Time) func() error {
	var counts []struct{ Sent, Open int }
	tx.QueueSQL(countSubmission, contact, s.day(now))
	r.SQL(&counts, `SELECT sent, (SELECT count(*) FROM ticket WHERE contact = repair_contact.hash AND state IN (?)) AS open
		FROM repair_contact WHERE hash = ?`, bun.List([]State{Submitted, Triaged, Assigned, InProgress, WaitingParts, WaitingOwner}), contact)
	return func() error {
		switch c := counts[0]; {
		case c.Sent > MaxDaily:
			return fault.Refuse("TOO_MANY_TODAY", fmt.Sprintf("这个联系方式今天已提交 %d 次，请明天再来，或在已有的报修单里补充", MaxDaily),
				fmt.Sprintf("this contact has sent %d reports today; come back tomorrow, or add to the tickets you have", MaxDaily)).At("contact")
		case c.Open >= MaxOpen:
			return fault.Refuse("TOO_MANY_OPEN", fmt.Sprintf("这个联系方式已有 %d 张未完成的报修单，请等处理后再报，或取消一张", MaxOpen),
				fmt.Sprintf("this contact has %d open tickets; wait until one is done, or cancel one", MaxOpen)).At("contact")
		}
		return nil
	}
}

// countSubmission counts one for the contact and the local day.
const countSubmission = `INSERT INTO repair_contact (hash, day, sent) VALUES (?, ?, 1) ON CONFLICT (hash) DO UPDATE
	SET sent = CASE WHEN repair_contact.day = EXCLUDED.day THEN repair_contact.sent + 1 ELSE 1 END, day = EXCLUDED.day`

// put writes a new ticket with everything around it.
func (a *act) put(values map[string]string, door string) {
	t := a.t
	if door == "" {
		door = "form"
	}
	a.tx.Queue(a.tx.DB.Bun().NewInsert().Model(t))
	org.SetPersonal(a.tx, a.tx.DB.Key(), t.ID, a.now, time.Time{}, values)
	org.GiveConsent(a.tx, t.ID, ConsentPurpose, ConsentVersion, door, a.now)
	a.enter(ActSubmit, "")
	if t.attached() {
		a.attach()
	}
	outbox.Put(a.tx, outbox.Event{Topic: TopicOpened, Aggregate: t.ID, Version: t.Version, Payload: ticketPayload{t.ID}})
	a.tellReporter("repair.received")
}

// askNumber takes the next number of the local year.
func (s *Service) askNumber(r *store.Reads, now time.Time) func() string {
	year := now.In(s.Location).Year()
	var n []int64
	r.SQL(&n, `INSERT INTO counter (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value`,
		fmt.Sprintf("repair.%d", year))
	return func() string { return fmt.Sprintf("%d-%04d", year, n[0]) }
}

// hash is what a value is recognised by without being kept.
func (s *Service) hash(what, value string) string {
	return hex.EncodeToString(s.mac(what, value))
}

func (s *Service) mac(what, value string) []byte {
	mac := hmac.New(sha256.New, s.db.Key())
	mac.Write([]byte("repair." + what + " " + value))
	return mac.Sum(nil)
}

func (s *Service) place(building string) string {
	return s.hash("place", strings.ToLower(strings.Join(strings.Fields(building), "")))
}

func (s *Service) day(t time.Time) string { return t.In(s.Location).Format("2006-01-02") }

var tokenEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// LinkToken opens the ticket's page to its holder: 160 bits under the server's
// key, spelled in base32. It is a secret: it is shown to the reporter and
// stored nowhere.
func (s *Service) LinkToken(ticket id.ID) string {
	return tokenEncoding.EncodeToString(s.mac("link", ticket.String())[:20])
}

// PickupCode is shown to the reporter and asked for when a device is collected:
// six digits.
func (s *Service) PickupCode(ticket id.ID) string {
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(s.mac("pickup", ticket.String()))%1_000_000)
}

func linkHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
