package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func sqlCommand() *cobra.Command {
	var site, format string
	var where folder
	c := &cobra.Command{
		Use:   "sql QUERY",
		Short: "Ask the embedded ClickHouse; {site:String} stands for the stack's or the last demo's site",
		Long: `sql sends QUERY (- for standard input) to the ClickHouse of the running stack or,
when none runs, to one that it starts on the last demo's data for the time of the query. It asks
as the analyst, who reads the tables, each query within 60 s and 1 GiB, and changes nothing.`,
		Example: `  microseg sql "SELECT served, count() FROM segments_current WHERE site = {site:String} GROUP BY served"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			query := args[0]
			if query == "-" {
				b, err := io.ReadAll(os.Stdin)
				if err != nil {
					return fmt.Errorf("reading the query: %w", err)
				}
				query = string(b)
			}
			return ask(c.Context(), os.Stdout, query, site, format, &where)
		},
	}
	f := c.Flags()
	f.StringVar(&site, "site", "", "site for {site:String} (default: the running stack's, else the last demo's)")
	where.flag(c)
	f.StringVar(&format, "format", "PrettyCompactMonoBlock", "ClickHouse's output format, e.g. TSVWithNames, JSONEachRow")
	return c
}

func ask(ctx context.Context, w io.Writer, query, site, format string, where *folder) error {
	a, stop, err := where.record(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if a.ClickHouseHTTP == "" {
		return errors.New("the running stack uses a ClickHouse of its own DSN; ask that one")
	}
	if site == "" {
		site = a.Site
	}
	return post(ctx, w, a.ClickHouseHTTP, cmp.Or(a.AnalystDSN, a.DSN), query, site, format)
}

// post sends a query over ClickHouse's HTTP interface.
func post(ctx context.Context, w io.Writer, addr, dsn, query, site, format string) error {
	p := url.Values{"database": {"microseg"}, "param_site": {site}, "default_format": {format}, "output_format_pretty_row_numbers": {"0"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/?"+p.Encode(), strings.NewReader(query))
	if err != nil {
		return fmt.Errorf("asking ClickHouse: %w", err)
	}
	if u, err := url.Parse(dsn); err == nil && u.User != nil { // in a header, not in the address: errors show that
		password, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), password)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("asking ClickHouse: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("ClickHouse refuses the query: %s", strings.TrimSpace(string(b)))
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
