package spend_test

import (
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// BenchmarkAppendCompact is the time of the texts that most entries and requests hold.
func BenchmarkAppendCompact(b *testing.B) {
	for name, text := range map[string]string{
		"an id":     string(spend.NewID(time.Now())),
		"a digest":  "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"a word":    "payment_intents.create",
		"something": "USD",
	} {
		b.Run(name, func(b *testing.B) {
			room := make([]byte, 0, 128)
			for b.Loop() {
				room = spend.AppendCompact(room[:0], text)
			}
		})
	}
}
