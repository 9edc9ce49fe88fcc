package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// webhookPath is where a provider posts its events to, on the control listener.
func webhookPath(provider string) string { return "/api/v1/providers/" + provider + "/webhook" }

// hearTime bounds the booking of one event: a provider waits no longer, and says it
// again.
const hearTime = 10 * time.Second

// events has what providers say read by their rails and booked by the ledger.
type events struct {
	rails   map[string]rails.Notifier
	witness *engine.Witness
	clock   func() time.Time
	count   func(rail, result string)
}

var _ api.ProviderEvents = (*events)(nil)

func newEvents(cfg *config.Config, witness *engine.Witness, count func(rail, result string)) *events {
	e := &events{rails: map[string]rails.Notifier{}, witness: witness, clock: time.Now, count: count}
	for _, r := range railsOf(cfg) {
		if n, ok := r.Rail.(rails.Notifier); ok && n.Notices() {
			e.rails[n.Name()] = n
		}
	}
	return e
}

// The results of an event, for metrics.
const (
	eventBooked  = "booked"  // it says something new of a payment
	eventKnown   = "known"   // it says nothing new
	eventForeign = "foreign" // outgo has made no such payment
	eventRefused = "refused" // it is not proved to be the provider's, or cannot be read
	eventFailed  = "failed"  // it could not be booked, and is to be said again
)

func eventResults() []string {
	return []string{eventBooked, eventKnown, eventForeign, eventRefused, eventFailed}
}

// Take implements api.ProviderEvents.
func (e *events) Take(ctx context.Context, provider string, header func(name string) []string, body []byte) (api.ProviderEvent, error) {
	rail := e.rails[provider]
	if rail == nil {
		return api.ProviderEvent{}, fmt.Errorf("events of provider %.40q: %w", provider, spend.NotFound)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hearTime)
	defer cancel()
	n, err := rail.Notice(header, body, e.clock())
	if err != nil {
		e.count(provider, eventRefused)
		return api.ProviderEvent{}, err
	}
	out := api.ProviderEvent{ID: n.ID, Type: n.Type}
	for i := range n.Evidence {
		heard, err := e.witness.Hear(ctx, n.Evidence[i])
		if err != nil {
			e.count(provider, eventFailed)
			// Whatever kind this has is about the ledger, not about the call.
			return out, fmt.Errorf("event %s: %w: %w", n.ID, spend.Unavailable, asText(err))
		}
		if heard.Request != "" && !slices.Contains(out.Requests, heard.Request) {
			out.Requests = append(out.Requests, heard.Request)
		}
		out.Changed = out.Changed || heard.Changed
	}
	switch {
	case out.Changed:
		e.count(provider, eventBooked)
	case len(out.Requests) > 0:
		e.count(provider, eventKnown)
	default:
		e.count(provider, eventForeign)
	}
	return out, nil
}

// asText is err without its kind.
func asText(err error) error { return errors.New(err.Error()) }
