// Package edge holds what runs in front of serving nodes: a configuration of
// Varnish, an edge function, and an adapter for AWS Lambda.
package edge

import (
	_ "embed"
	"fmt"
	"net"
	"strings"
)

//go:embed varnish.vcl
var vcl string

//go:embed worker.js
var worker string

// Worker is the edge function, an ES module.
func Worker() string { return worker }

// VCL is the configuration of Varnish for a site's address and that of a
// serving node, both host:port.
func VCL(site, node string) (string, error) {
	out := vcl
	for mark, addr := range map[string]string{"site": site, "node": node} {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return "", fmt.Errorf("writing the VCL: the address of the %s: %w", mark, err)
		}
		shipped := `.host = "127.0.0.1"; .port = "8080"; # ` + mark
		if !strings.Contains(out, shipped) {
			return "", fmt.Errorf("writing the VCL: it has no backend marked %q", mark)
		}
		out = strings.Replace(out, shipped, fmt.Sprintf(".host = %q; .port = %q; # %s", host, port, mark), 1)
	}
	return out, nil
}
