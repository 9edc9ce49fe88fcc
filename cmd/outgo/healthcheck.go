package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
)

func newHealthcheck(opt *options) *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Ask the running outgo whether it is well", Args: cobra.NoArgs,
		Long: `Healthcheck asks /healthz of the control listener that the configuration names. It
needs no shell and no other program, which makes it the HEALTHCHECK of a container.`,
		Example: "  outgo healthcheck && echo fine",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := opt.loadBare()
			if err != nil {
				return err
			}
			if err := health(c.Context(), cfg.Listen.Control); err != nil {
				return fmt.Errorf("health of %s: %w", cfg.Listen.Control, err)
			}
			if opt.json {
				return printJSON(c.OutOrStdout(), map[string]bool{"ok": true})
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "ok")
			return err
		},
	}
}

// health returns nil if the control listener at addr answers that all is well.
func health(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("listen.control is off; set it to an address")
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1" // what listens everywhere listens here
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	// The environment may name a proxy, which may be this very outgo.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
