package sandbox

import "slices"

// event is the record of what a call has done, with the object as it was then and
// the idempotency key that the call came with. Payments have them, and nothing
// else.
type event struct {
	head
	APIVersion      string       `json:"api_version"`
	Data            eventData    `json:"data"`
	PendingWebhooks int          `json:"pending_webhooks"`
	Request         eventRequest `json:"request"`
	Type            string       `json:"type"`
}

type eventData struct {
	Object object `json:"object"`
}

type eventRequest struct {
	ID             text `json:"id"`
	IdempotencyKey text `json:"idempotency_key"`
}

func (ev *event) refs() map[string]*ref { return nil }

func (ev *event) clone() object {
	dup := *ev
	return &dup
}

// happened records that the call has brought o to where it is.
func (c *call) happened(kind string, o object) {
	ev := &event{
		head: c.head("evt_", "event"), APIVersion: Version, Type: kind, Data: eventData{Object: o.clone()},
		Request: eventRequest{ID: text(c.requestID), IdempotencyKey: text(c.key)},
	}
	c.add(ev.ID, ev)
}

func listEvents(c *call) (any, *Error) {
	kind, kinds := c.p.text("type"), c.p.list("types")
	if kind != "" && len(kinds) > 0 {
		return nil, badRequest("", "types", "You may only specify one of these parameters: type, types.")
	}
	return list(c, "event", "/v1/events", func(ev *event) bool {
		return (kind == "" || string(kind) == ev.Type) && (len(kinds) == 0 || slices.Contains(kinds, ev.Type))
	})
}

func showEvent(c *call) (any, *Error) {
	ev, ok := find[*event](c, c.object)
	if !ok {
		return nil, missing("event", "id", c.object)
	}
	return ev, nil
}
