package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/serving/node"
	"github.com/microseg/microseg/sinks/clickhouseio/query"
	"github.com/spf13/cobra"
)

func identityCommand() *cobra.Command {
	var p place
	var asJSON bool
	c := &cobra.Command{
		Use:   "identity",
		Short: "List who is beyond the limits of identity; link and unlink devices",
		Long: `identity reads from ClickHouse which persons have more devices, and which devices
more persons in a day, than are merged (identity in the configuration), and says
what to do. Its subcommands ask a serving node with the admin key.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conn, err := p.open(c.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			limits, err := query.Limits(c.Context(), conn, p.site)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.PrintJSON(os.Stdout, limits)
			}
			_, err = fmt.Print(query.LimitsText(p.site, limits))
			return err
		},
	}
	p.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	var a asker
	unlink := &cobra.Command{
		Use: "unlink ANONYMOUS_ID USER_ID", Short: "Take a device from a user, in all of its epochs", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.send(c, "/v1/identity/unlink", map[string]any{"anonymousId": args[0], "userId": args[1]})
		},
	}
	var ttl int
	link := &cobra.Command{
		Use: "link USER_ID", Short: "Sign a link that makes the device that opens it the user's", Args: cobra.ExactArgs(1),
		Long: `link prints a token and the parameter for the URL of any page that loads link.js.
Whoever has the token can read the userId and link a device until it expires.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.send(c, "/v1/identity/token", map[string]any{"userId": args[0], "ttl_s": ttl})
		},
	}
	link.Flags().IntVar(&ttl, "ttl", 600, "seconds for which the link is good, up to 86400")
	for _, sub := range []*cobra.Command{unlink, link} {
		a.folder.flag(sub)
		sub.Flags().StringVar(&a.url, "url", "", "address of a node's --admin-http, http://host[:port] (default: the running stack's)")
		sub.Flags().StringVar(&a.key, "admin-key", "", "admin key (default: that of $"+node.EnvAdminKey+", else the running stack's)")
		c.AddCommand(sub)
	}
	return c
}

// send posts JSON and prints the answer.
func (a *asker) send(c *cobra.Command, path string, body map[string]any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("asking the node: %w", err)
	}
	return a.request(c.Context(), os.Stdout, http.MethodPost, path, b)
}
