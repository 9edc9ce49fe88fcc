package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/cmd/outgo/shim"
	"github.com/outgo/outgo/proxy/ca"
)

func newEnv(opt *options) *cobra.Command {
	var format, agent string
	c := &cobra.Command{
		Use: "env", Short: "Print the environment that sends a program's calls through outgo", Args: cobra.NoArgs,
		Long: `Env prints the variables by which programs in Node, Python, Go and others come through
the proxy and trust its authority. They hold for an outgo that is serving; to start
both at once use outgo run.`,
		Example: "  eval \"$(outgo env)\"\n  outgo env --format dotenv > .env",
		RunE: func(c *cobra.Command, _ []string) error {
			if opt.json && !c.Flags().Changed("format") {
				format = "json"
			}
			if !slices.Contains(shim.Formats(), format) {
				return usageError{fmt.Sprintf("--format %q is not one of %s", format, strings.Join(shim.Formats(), ", "))}
			}
			cfg, err := opt.load()
			if err != nil {
				return err
			}
			token := ""
			if agent != "" {
				for _, a := range cfg.Agents {
					if a.Name == agent {
						token = a.Token
					}
				}
				if token == "" {
					return fmt.Errorf("agent %q has no token in the configuration; give it one under agents", agent)
				}
			}
			a, err := ca.Load(authorityOptions(cfg))
			if err != nil {
				return err
			}
			paths, err := shim.Write(filepath.Join(cfg.DataDir, "shim"))
			if err != nil {
				return err
			}
			address, err := clientAddress(cfg.Listen.Proxy, agent, token)
			if err != nil {
				return err
			}
			vars := shim.Vars(shim.Options{
				Proxy: address, CA: a.CertFile(), Bundle: a.BundleFile(),
				NodePreload: paths.NodePreload, PythonDir: paths.PythonDir, Base: opt.env,
			})
			text, err := shim.Render(format, vars)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.OutOrStdout(), text)
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "shell", "shell, dotenv or json")
	c.Flags().StringVar(&agent, "agent", "", "put the proxy credentials of this agent of the configuration in")
	return c
}

// clientAddress returns the proxy's URL as a client on this machine writes it,
// with the agent's credentials unless token is empty. listen is the address that
// the proxy listens on.
func clientAddress(listen, agent, token string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", errors.New("listen.proxy is off; set it to an address")
	}
	if port == "0" {
		return "", errors.New("listen.proxy has port 0, which is another one at each start; name a port")
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if token != "" {
		u.User = url.UserPassword(agent, token)
	}
	return u.String(), nil
}
