package main

import (
	"fmt"

	"github.com/microseg/microseg/serving/edge"
	"github.com/spf13/cobra"
)

func edgeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "edge",
		Short: "Print what runs in front of serving nodes (docs/edge.md)",
		Args:  cobra.NoArgs,
	}
	var site, node string
	vcl := &cobra.Command{
		Use:     "varnish",
		Short:   "Varnish's configuration",
		Example: "  microseg edge varnish --site shop:80 --node node:8080 > site.vcl && varnishd -f site.vcl -a :80",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := edge.VCL(site, node)
			fmt.Print(text)
			return err
		},
	}
	vcl.Flags().StringVar(&site, "site", "127.0.0.1:8080", "where the pages come from, host:port")
	vcl.Flags().StringVar(&node, "node", "127.0.0.1:8080", "a serving node, host:port")
	worker := &cobra.Command{
		Use:   "worker",
		Short: "The edge function, an ES module for Cloudflare Workers",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { fmt.Print(edge.Worker()) },
	}
	c.AddCommand(vcl, worker)
	return c
}
