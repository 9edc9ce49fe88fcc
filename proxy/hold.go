package proxy

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// watchEvery is how often a waiting call looks whether its agent is still there.
const watchEvery = time.Second

// wait holds the call until a person has decided on its request. All the waiting
// of one call together takes at most the route's Wait; then the error is
// handOver. It is errGone when the agent hangs up first: an approval that comes
// later must not spend on behalf of nobody.
func (x *exchange) wait() (spend.Next, error) {
	if x.held.IsZero() {
		x.held = x.p.clock()
	}
	left := x.route.Wait - x.since(x.held)
	if left <= 0 {
		return "", handOver{}
	}
	ctx, cancel := context.WithTimeout(x.p.serving, left)
	defer cancel()
	watch(ctx, x.w.raw, cancel)
	r, err := x.p.opt.Gate.Wait(ctx, x.request.ID)
	switch {
	case isGone(x.w.raw):
		return "", errGone
	case err != nil:
		return "", fmt.Errorf("wait for approval: %w", err)
	case r.Next == spend.Await && ctx.Err() != nil:
		x.request = r.Request
		return "", handOver{}
	}
	if err := x.turn(); err != nil {
		return "", err
	}
	x.request = r.Request
	return r.Next, nil
}

// begin judges an approved call again, with what the provider says now, and asks
// for the ruling to send it.
func (x *exchange) begin() (spend.Next, error) {
	id := x.request.ID
	if err := x.turn(); err != nil {
		return "", err
	}
	if err := x.judge(); err != nil {
		return "", err
	}
	if isGone(x.w.raw) {
		return "", errGone
	}
	if !x.p.still(&x.w.peer, x.agent) {
		return "", errRevoked
	}
	if x.p.draining() {
		return "", handOver{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), x.p.times.Decide)
	defer cancel()
	r, err := x.p.opt.Gate.Begin(ctx, id, x.judged.Intent)
	if err != nil {
		return "", fmt.Errorf("begin payment: %w", err)
	}
	x.request = r.Request
	return r.Next, nil
}

func (x *exchange) turn() error {
	if x.turns++; x.turns > maxTurns {
		return handOver{}
	}
	return nil
}

// watch calls gone once the peer of c has hung up, until ctx ends. The server
// does not notice it while a handler waits.
func watch(ctx context.Context, c net.Conn, gone func()) {
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(watchEvery, func() {
		<-ready
		switch {
		case ctx.Err() != nil:
		case isGone(c):
			gone()
		default:
			timer.Reset(watchEvery)
		}
	})
	close(ready)
	context.AfterFunc(ctx, func() { timer.Stop() })
}
