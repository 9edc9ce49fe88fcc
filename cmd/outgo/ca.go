package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/proxy/ca"
)

func newCA(opt *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show or replace the interception authority",
		Long: `The interception authority signs the certificates under which outgo reads guarded
calls. It is made on first use, in data_dir/ca, and can vouch for the configured hosts
only. Whoever has its key can pose as those hosts to everybody who trusts it.`,
		Example: "  NODE_EXTRA_CA_CERTS=$(outgo ca path) node agent.mjs\n  outgo ca bundle > bundle.pem",
	}
	cmd.AddCommand(
		newCAShow(opt, "print", "Print the certificate, in PEM form", "  outgo ca print > outgo-ca.pem",
			func(a *ca.Authority) string { return string(a.Certificate()) }),
		newCAShow(opt, "path", "Print where the certificate is", "  NODE_EXTRA_CA_CERTS=$(outgo ca path) node agent.mjs",
			func(a *ca.Authority) string { return a.CertFile() + "\n" }),
		newCAShow(opt, "bundle", "Print the system's roots and the certificate, in PEM form", "  outgo ca bundle > bundle.pem",
			func(a *ca.Authority) string { return string(a.Bundle()) }),
		newCARotate(opt),
	)
	return cmd
}

// shownCA is what the commands say of an authority with --json.
type shownCA struct {
	Path        string    `json:"path"`
	BundlePath  string    `json:"bundlePath"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the certificate
	NotAfter    time.Time `json:"notAfter"`
	Certificate string    `json:"certificate"` // PEM
}

func describeCA(a *ca.Authority) shownCA {
	return shownCA{
		Path: a.CertFile(), BundlePath: a.BundleFile(), Fingerprint: a.Fingerprint(),
		NotAfter: a.NotAfter(), Certificate: string(a.Certificate()),
	}
}

func newCAShow(opt *options, name, short, example string, text func(*ca.Authority) string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs, Example: example,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := opt.loadBare()
			if err != nil {
				return err
			}
			a, err := ca.Load(authorityOptions(cfg))
			if err != nil {
				return err
			}
			if opt.json {
				return printJSON(c.OutOrStdout(), describeCA(a))
			}
			_, err = fmt.Fprint(c.OutOrStdout(), text(a))
			return err
		},
	}
}

func newCARotate(opt *options) *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Replace the authority's key", Args: cobra.NoArgs,
		Long: `Rotate makes a new key and certificate. The old certificate stays in the bundle for
seven days, so that clients which read the bundle trust both. An outgo that is serving
goes on with the old key until it is started again.`,
		Example: "  outgo ca rotate",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := opt.loadBare()
			if err != nil {
				return err
			}
			a, err := ca.Rotate(authorityOptions(cfg))
			if err != nil {
				return err
			}
			if opt.json {
				return printJSON(c.OutOrStdout(), describeCA(a))
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n%s\n", a.CertFile(), a.Fingerprint())
			return err
		},
	}
}

// authorityOptions says which authority cfg means. Every command must say the
// same as serve, since other names make the authority issue itself anew.
func authorityOptions(cfg *config.Config) ca.Options {
	return ca.Options{Dir: filepath.Join(cfg.DataDir, "ca"), Names: namesOf(cfg), Constrain: cfg.CA.Constrain}
}
