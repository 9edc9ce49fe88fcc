package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/engine/store/badgerstore"
)

// The files of the data directory that commands share.
const (
	socketFile   = "control.sock"
	adminKeyFile = "admin.key"
	keyVariable  = "OUTGO_KEY"
)

// A control is how a command reaches the ledger: over the socket of the daemon
// that holds the data directory or, where none does, by opening it. Both speak
// the same API, so a command is written once.
type control struct {
	http  *http.Client
	key   string
	about api.About // of the daemon; zero when there is none
	close func()
}

// openControl connects to the daemon of cfg, or opens its data directory.
// needKey says that the command is of no use without a key.
func openControl(cfg *config.Config, keyFile string) (*control, error) {
	socket := filepath.Join(cfg.DataDir, socketFile)
	if c := dialControl(socket); c != nil {
		key, err := findKey(cfg, keyFile)
		if err != nil {
			c.close()
			return nil, err
		}
		c.key = key
		return c, nil
	}
	led, err := openLedger(context.Background(), cfg, listeners{alarm: func(err error) { fmt.Fprintln(os.Stderr, "outgo:", err) }})
	if errors.Is(err, badgerstore.ErrLocked) {
		if c := dialControl(socket); c != nil { // a daemon that was about to start
			c.close()
			return openControl(cfg, keyFile)
		}
		return nil, fmt.Errorf("open %s: another outgo holds it but does not answer on %s; wait for it to start, or stop it", cfg.DataDir, socket)
	}
	if err != nil {
		return nil, err
	}
	ln := fasthttputil.NewInmemoryListener()
	srv := api.New(api.Options{
		Engine: led.engine, Digest: led.digest, Routes: led.routes(), Local: true, Log: zap.NewNop(),
	})
	go func() { _ = srv.Serve(ln) }() // ends when ln closes below
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}}
	return &control{http: client, close: func() {
		client.CloseIdleConnections()
		_ = ln.Close()
		led.close()
	}}, nil
}

// dialControl returns a control without a key when a daemon answers on socket,
// else nil.
func dialControl(socket string) *control {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", socket)
	}
	c := &control{http: &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DialContext: dial}}}
	c.close = c.http.CloseIdleConnections
	if err := c.do("GET", "/about", nil, &c.about); err != nil {
		return nil
	}
	return c
}

// findKey looks for the caller's key: in keyFile, in the environment, in the
// data directory, and at last at a prompt.
func findKey(cfg *config.Config, keyFile string) (string, error) {
	if keyFile != "" {
		b, err := os.ReadFile(keyFile) //nolint:gosec // the operator names the file
		if err != nil {
			return "", fmt.Errorf("read key: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	if key := os.Getenv(keyVariable); key != "" {
		return key, nil
	}
	if b, err := os.ReadFile(filepath.Join(cfg.DataDir, adminKeyFile)); err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(os.Stderr, "API key: ")
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(os.Stderr)
		if err != nil {
			return "", fmt.Errorf("read key: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return "", fmt.Errorf("no API key: set %s, name a file with --key-file, or run this at a terminal; `outgo keys create --role approver` makes one while outgo is stopped", keyVariable)
}

// An apiError is an answer of the control API that is not a success.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return e.message }

// do calls the API and reads its answer into out, which may be nil, or a
// *json.RawMessage for the answer as it came.
func (c *control) do(method, path string, in, out any) error {
	resp, err := c.send(context.Background(), method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or the error says so
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("call outgo: %w", err)
	}
	if resp.StatusCode >= 300 {
		return refusal(resp.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read outgo's answer: %w", err)
	}
	return nil
}

// send calls the API with in, which may be nil, as the body. The caller closes the
// answer.
func (c *control) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://outgo/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("x-api-key", c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call outgo: %w", err)
	}
	return resp, nil
}

// refusal is an answer of the API that is not a success.
func refusal(status int, answer []byte) error {
	var e struct{ Error, Detail string }
	if json.Unmarshal(answer, &e) != nil || e.Error+e.Detail == "" {
		e.Detail = fmt.Sprintf("status %d", status)
	}
	message := e.Error + e.Detail
	if status == http.StatusUnauthorized {
		message += "; the one that was sent (of --key-file, else " + keyVariable + ", else data_dir/" + adminKeyFile + ") is unknown, or was rotated or revoked"
	}
	return &apiError{status, message}
}
