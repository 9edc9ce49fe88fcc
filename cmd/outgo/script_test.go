package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be outgo itself, under which name scripts find
// it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"outgo": main})
}

// TestScripts runs the command lines of testdata/script against the real binary,
// each in a directory of its own that is its home as well.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}
