package graph

import (
	"strings"

	"kelian/graph/model"
	"kelian/notify"
	"kelian/org"
)

func notificationOf(x notify.Item) model.Notification {
	return model.Notification{ID: x.ID.TypeID("ntf"), Topic: x.Topic, Text: x.Text, About: ref(x.Ref.Kind, x.Ref.ID), Critical: x.Critical, At: x.At, ReadAt: when(x.ReadAt)}
}

func deliveryOf(d notify.DeliveryView) model.Delivery {
	out := model.Delivery{ID: d.ID.TypeID("dlv"), Channel: string(d.Channel), Recipient: d.Name, Topic: d.Topic, State: model.DeliveryState(strings.ToUpper(string(d.State))),
		PossibleDuplicates: d.PossibleDuplicate, At: d.CreatedAt}
	if out.Recipient == "" {
		out.Recipient = org.Mask("")
	}
	if d.ReasonZh != "" {
		reason := text(d.ReasonZh, d.ReasonEn)
		out.Reason = &reason
	}
	return out
}

func toTellOf(l notify.ToTell) model.ToTellLine {
	out := model.ToTellLine{ID: l.ID.TypeID("ttl"), Text: text(l.TextZh, l.TextEn), Unit: l.Unit, State: model.ToTellState(l.State), CreatedAt: l.CreatedAt}
	if kind := kindOfContact(string(l.Channel)); kind != nil {
		out.Channel = *kind
	}
	return out
}
