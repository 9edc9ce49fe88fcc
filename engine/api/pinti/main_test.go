package pinti_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a server leaves a goroutine behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp starts the clock of its Date header once and for ever, and looks
		// every ten seconds whether a server has ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
