package engine_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when an engine leaves a goroutine behind: one that is closed has
// ended its commits, its sweeps and its watchers.
func TestMain(m *testing.M) {
	if os.Getenv(tamperVariable) != "" {
		os.Exit(m.Run()) // see TestEveryTamperingWithTheFilesIsFoundOrChangesNothing
	}
	goleak.VerifyTestMain(m)
}
