package web

import (
	"net/url"

	"kelian/desk/repair"
	"kelian/file"
	"kelian/internal/fault"
)

// repairForm is the form that needs no account, with what was entered.
type repairForm struct {
	Kinds     []repair.Kind
	Forbidden []repair.Words
	Consent   repair.Words
	Version   string // of the consent
	In        repair.SubmitInput
	Agreed    bool
	Buildings []string       // that the network knows, to choose from
	Outage    []repair.Words // what is known to be broken now
	MaxOpen   int
	Lost      bool // photos came with a form that was refused
	Photos    int  // at most, of PhotoMB each
	PhotoMB   int
	Again     repair.Contact // of "send me the link again"
	Number    string
}

func (c *call) repairData() (repairForm, error) {
	f := repairForm{Kinds: repair.Kinds, Consent: repair.ConsentText, Version: repair.ConsentVersion, MaxOpen: repair.MaxOpen,
		Lost: c.photos != nil, Photos: c.File.Limits.Photos, PhotoMB: int(c.File.Limits.Photo >> 20)}
	seen := map[string]bool{}
	for _, w := range repair.Forbidden {
		if !seen[w.En] { // several Chinese words for one thing
			seen[w.En] = true
			f.Forbidden = append(f.Forbidden, w)
		}
	}
	st, err := c.Netmon.Status(c.ctx(), c.actor)
	if err != nil {
		return f, err
	}
	f.Outage = st.Incidents
	if f.Buildings, err = c.Netmon.Buildings(c.ctx()); err != nil {
		return f, err
	}
	q := c.r.URL.Query()
	f.In.Kind, f.In.Building, f.In.Contact.Kind, f.Again.Kind = repair.Kind(q.Get("kind")), q.Get("building"), "phone", "phone"
	return f, nil
}

func (c *call) repairPage() error {
	f, err := c.repairData()
	if err != nil {
		return err
	}
	return c.show("repair", c.t("repair.title"), f)
}

// repairPost takes a report and leads to the ticket's page.
func (c *call) repairPost() error {
	if c.in("act") == "link" {
		return c.repairLink()
	}
	in := repair.SubmitInput{Kind: repair.Kind(c.in("kind")), Building: c.in("building"), Room: c.in("room"), Text: c.in("text"),
		Name: c.in("name"), Number: c.in("number"), College: c.in("college"),
		Contact: repair.Contact{Kind: c.in("contact-kind"), Value: c.in("contact-value")},
		Device:  c.in("device") == "yes", Door: "form", IdempotencyKey: c.key()}
	agreed := c.in("consent") == repair.ConsentVersion
	if agreed {
		in.Consent = repair.ConsentVersion
	}
	out, err := c.Repair.Submit(c.ctx(), c.actor, in)
	if err != nil {
		c.dropPhotos()
		return c.refused(err, func() error {
			f, err := c.repairData()
			if err != nil {
				return err
			}
			f.In, f.Agreed = in, agreed
			return c.show("repair", c.t("repair.title"), f)
		})
	}
	return c.to(withPhoto("/t/"+out.Token, c.keepPhotos(out.Token)), "received")
}

// repairLink sends a ticket's link again; the answer does not say whether there
// is such a ticket.
func (c *call) repairLink() error {
	contact := repair.Contact{Kind: c.in("contact-kind"), Value: c.in("contact-value")}
	number := c.in("ticket")
	if err := c.Repair.SendLink(c.ctx(), c.actor, number, contact); err != nil {
		return c.refused(err, func() error {
			f, err := c.repairData()
			if err != nil {
				return err
			}
			f.Again, f.Number = contact, number
			c.err.Path = []string{"again"}
			return c.show("repair", c.t("repair.title"), f)
		})
	}
	return c.to("/repair", "linksent")
}

// ticketLink is what the holder of a link sees of the ticket.
type ticketLink struct {
	repair.LinkView
	Token      string
	Link       string
	Note       string
	Photos     []file.File
	MorePhotos bool   // another may be sent
	PhotoWrong string // why one was not taken
	MaxPhotos  int
	PhotoMB    int
}

func (c *call) ticketByLink() error {
	token := c.r.PathValue("token")
	v, err := c.Repair.ByLink(c.ctx(), token)
	if err != nil {
		return err
	}
	d := ticketLink{LinkView: v, Token: token, Link: c.PublicURL + "/t/" + url.PathEscape(token), Note: c.in("note"),
		PhotoWrong: c.photoWords(), MaxPhotos: c.File.Limits.Photos, PhotoMB: int(c.File.Limits.Photo >> 20)}
	if d.Photos, err = c.File.ByLink(c.ctx(), token); err != nil {
		return err
	}
	d.MorePhotos = v.ClosedAt.IsZero() && len(d.Photos) < d.MaxPhotos
	return c.show("ticket-link", c.t("ticket.title", v.Number), d)
}

// ticketByLinkPost does one of the reporter's acts.
func (c *call) ticketByLinkPost() error {
	token := c.r.PathValue("token")
	act := repair.Action(c.in("act"))
	if act == "photo" {
		if c.photos == nil {
			return c.refused(fault.Input("photo", "请先拍下或选择照片", "take or choose a photo first"), c.ticketByLink)
		}
		if _, err := c.Repair.ByLink(c.ctx(), token); err != nil {
			c.dropPhotos()
			return err
		}
		if reason := c.keepPhotos(token); reason != "" {
			return c.to(withPhoto("/t/"+url.PathEscape(token), reason), "")
		}
		return c.to("/t/"+url.PathEscape(token), "photo")
	}
	c.dropPhotos()
	if act == repair.ActErase {
		if c.in("sure") != "yes" {
			return c.refused(fault.Input("sure", "请先勾选，删除后无法恢复", "tick the box first; it cannot be undone"), c.ticketByLink)
		}
		if _, err := c.Repair.EraseByLink(c.ctx(), c.actor, token, c.key()); err != nil {
			return c.refused(err, c.ticketByLink)
		}
		return c.to("/", "erased")
	}
	_, err := c.Repair.DoByLink(c.ctx(), c.actor, act, repair.LinkInput{Token: token, Note: c.in("note"), IdempotencyKey: c.key()})
	if err != nil {
		return c.refused(err, c.ticketByLink)
	}
	return c.to("/t/"+url.PathEscape(token), "saved")
}
