package proxy

import (
	"context"

	"github.com/outgo/outgo/engine/spend"
)

// Gate decides on intents and keeps the record of what became of them. The proxy
// forwards nothing that moves money without a Ruling whose Next is
// spend.Forward, and tells the gate the outcome of everything it forwards.
type Gate interface {
	// Authorize joins what was declared or held earlier, or evaluates anew. A
	// ruling to Forward is already durable, and is given to one caller only. An
	// error means that this caller may send nothing; an implementation that
	// begins a payment and cannot tell its caller so must fail it itself.
	Authorize(ctx context.Context, in spend.Intent) (spend.Ruling, error)

	// Wait returns when the request is no longer held, or when ctx ends: then
	// the ruling is Await with the request as it stands, and no error.
	Wait(ctx context.Context, id spend.ID) (spend.Ruling, error)

	// Begin asks to send an approved request. The intent carries facts looked
	// up just now; the gate compares them with what was approved. The answer is
	// Forward, Refuse, Await under another request's id (what was approved is
	// not what would be sent), or Follow (another caller was first).
	Begin(ctx context.Context, id spend.ID, in spend.Intent) (spend.Ruling, error)

	// Finish records what became of a request that was begun. After an error it
	// is called again with the same outcome.
	Finish(ctx context.Context, id spend.ID, o spend.Outcome) error

	// Reply returns the Outcome.Reply that Finish was given, or
	// spend.NotFound where none was kept or it is no longer due.
	Reply(ctx context.Context, id spend.ID) ([]byte, error)
}
