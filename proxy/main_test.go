package proxy_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a goroutine is left behind: a tunnel, a flight or a watch
// that does not end would be one more with every call.
func TestMain(m *testing.M) {
	// fasthttp starts these once, for the life of the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp/stackless.funcWorker"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}
