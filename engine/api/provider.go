package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
)

// ProviderEvents takes in what providers say of payments of their own accord.
type ProviderEvents interface {
	// Take proves that a call is a provider's and books what it says. header returns
	// every value of a field. It fails with spend.NotFound for a provider that is not
	// known or has no secret, with spend.Unauthenticated and spend.Invalid where the
	// call is not the provider's word, or cannot be read, and otherwise with
	// spend.Unavailable: then the provider is to say it again. Saying it twice does
	// nothing else.
	Take(ctx context.Context, provider string, header func(name string) []string, body []byte) (ProviderEvent, error)
}

// ProviderEvent is something that a provider has said.
type ProviderEvent struct {
	ID, Type string     // the provider's
	Requests []spend.ID // that it was about; none for payments that outgo has not made
	Changed  bool       // something new was booked or noted
}

// maxHearing bounds the calls of providers that are heard at one time: whoever has no
// secret can have outgo compute no more than this.
const maxHearing = 8

// hear is the one call that needs no API key: its signature is the credential.
func (s *Server) hear(c *Call) (int, any, error) {
	if s.opt.Events == nil {
		return 0, nil, fmt.Errorf("no provider's events are taken here: %w", spend.NotFound)
	}
	select {
	case s.hearing <- struct{}{}:
		defer func() { <-s.hearing }()
	default:
		Problem(c.RequestCtx, 429, "outgo is hearing of too much at once; say it again later")
		return 429, nil, nil
	}
	header := func(name string) (values []string) {
		for _, v := range c.Request.Header.PeekAll(name) {
			values = append(values, string(v))
		}
		return values
	}
	ev, err := s.opt.Events.Take(c, c.Param("name"), header, c.PostBody())
	switch {
	case errors.Is(err, spend.NotFound):
		return 0, nil, fmt.Errorf("no events of this provider are taken: it is not known, or the config has no secret of it: %w", spend.NotFound)
	case errors.Is(err, spend.Unauthenticated):
		// Not 401, with which the dialects ask for an API key.
		return 0, nil, Invalid("the call is not proved to be the provider's: its signature must be of the endpoint's own secret, of this very body, and of the last five minutes")
	case errors.Is(err, spend.Invalid):
		return 0, nil, Invalid("the event cannot be read: %s", withoutKinds(err))
	case err != nil:
		return 0, nil, fmt.Errorf("%w: %w", spend.Unavailable, err)
	}
	s.opt.Log.Info("provider event", zap.String("provider", c.Param("name")), zap.String("event", ev.ID), zap.String("type", ev.Type),
		zap.Strings("requests", texts(ev.Requests)), zap.Bool("changed", ev.Changed))
	return 200, map[string]bool{"received": true}, nil
}

// withoutKinds is the text of err without the kinds at its end, which Problem says.
func withoutKinds(err error) string {
	text := err.Error()
	for trimmed := true; trimmed; {
		trimmed = false
		for _, kind := range []spend.Kind{spend.Invalid, spend.Unavailable} {
			if rest, cut := strings.CutSuffix(text, ": "+string(kind)); cut {
				text, trimmed = rest, true
			}
		}
	}
	return text
}

func texts(ids []spend.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}
