package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// A provider that does not answer keeps nobody from shutting down for longer than
// the time for it. What it may have done stays unknown.
func TestDrainGivesUpOnAProviderThatDoesNotAnswer(t *testing.T) {
	w := newWorld(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) { close(arrived); <-release; io.WriteString(rw, "paid") }
	cut := make(chan error, 1)
	go func() {
		resp, err := w.client(nil).Post("https://"+guardedHost+"/pay", "", strings.NewReader("amount=5"))
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := w.proxy.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain: %v, want that its time is over", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Drain took %s", took)
	}
	if err := <-cut; err == nil {
		t.Error("the agent was told something")
	}
	for _, o := range w.gate.finished() {
		if o.Result == spend.DidNot {
			t.Errorf("outcome = %+v", o)
		}
	}
	close(release)
	eventually(t, "outcome", func() bool { return len(w.gate.finished()) > 0 })
}
