package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
)

// TestMain lets the test binary be outgo itself, under which name scripts find
// it.
func TestMain(m *testing.M) {
	testscript.Main(leaktight{m}, map[string]func(){"outgo": main})
}

// leaktight runs tests, and fails when a goroutine is left behind.
type leaktight struct{ m *testing.M }

// Run implements testscript.TestingM.
func (l leaktight) Run() int {
	status := l.m.Run()
	if status != 0 {
		return status
	}
	// fasthttp starts these once, for the life of the process, and looks every ten
	// seconds whether a server has ended. A log lives as long as the process.
	err := goleak.Find(
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("go.uber.org/zap/zapcore.(*BufferedWriteSyncer).flushLoop"),
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp/stackless.funcWorker"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "a goroutine was left behind:", err)
		return 1
	}
	return 0
}

// TestScripts runs the command lines of testdata/script against the real binary,
// each in a directory of its own that is its home as well.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"tamper": tamper},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}

// tamper writes to a ledger past outgo, as an attacker does who has its files:
//
//	tamper flip DIR PREFIX     a bit of the last value whose key begins with PREFIX
//	tamper delete DIR PREFIX   that value
//	tamper swap DIR PREFIX     the last two of them
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: tamper flip|delete|swap DIR PREFIX")
	}
	st, err := badgerstore.Open(badgerstore.Options{Dir: ts.MkAbs(args[1])})
	ts.Check(err)
	err = st.Update(context.Background(), func(tx store.Tx) error {
		last, err := tx.Scan("v1/main/"+args[2], "", true, 2)
		if err != nil || len(last) < 2 {
			return errors.Join(err, errors.New("there are not two such values"))
		}
		a, b := last[0], last[1]
		switch args[0] {
		case "flip":
			flipped := bytes.Clone(a.Value)
			flipped[len(flipped)/2] ^= 1
			return tx.Put(a.Key, flipped)
		case "delete":
			return tx.Delete(a.Key)
		case "swap":
			return errors.Join(tx.Put(a.Key, b.Value), tx.Put(b.Key, a.Value))
		}
		return errors.New("do not know how to " + args[0])
	})
	ts.Check(errors.Join(err, st.Close()))
}
