package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/microseg/microseg/serving/adminkey"
	"github.com/microseg/microseg/serving/node"
	"github.com/spf13/cobra"
)

func profileCommand() *cobra.Command {
	var a asker
	c := &cobra.Command{
		Use:   "profile",
		Short: "Export or delete what is kept of a person",
		Long: `profile asks a serving node with the admin key: that of the running stack, or of
--url and --admin-key (or ` + node.EnvAdminKey + `). ID is u:<userId>, d:<anonymousId>,
or either without its letter: a user where one is known, else a device.`,
	}
	a.folder.flag(c)
	c.PersistentFlags().StringVar(&a.url, "url", "", "address of a node's --admin-http, http://host[:port] (default: the running stack's)")
	c.PersistentFlags().StringVar(&a.key, "admin-key", "", "admin key (default: that of $"+node.EnvAdminKey+", else the running stack's)")
	export := &cobra.Command{
		Use: "export ID", Short: "Print everything that is kept of a person, as JSON", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), os.Stdout, http.MethodGet, args[0], "")
		},
	}
	var receipt string
	var without string
	erase := &cobra.Command{
		Use: "delete ID", Short: "Delete a person everywhere and print the receipt", Args: cobra.ExactArgs(1),
		Long: `delete waits up to 30 s and prints the receipt; with --receipt it prints how far an
earlier deletion has come.`,
		RunE: func(c *cobra.Command, args []string) error {
			if receipt != "" {
				return a.ask(c.Context(), os.Stdout, http.MethodGet, args[0], "/deletion?"+url.Values{"receipt": {receipt}}.Encode())
			}
			q := url.Values{"wait": {"1"}}
			if without != "" {
				q.Set("without", without)
			}
			return a.ask(c.Context(), os.Stdout, http.MethodDelete, args[0], "?"+q.Encode())
		},
	}
	erase.Flags().StringVar(&receipt, "receipt", "", "receipt of an earlier deletion to look at")
	erase.Flags().StringVar(&without, "without", "", "clickhouse: delete on a node that cannot reach it; its rows stay")
	c.AddCommand(export, erase)
	return c
}

// asker asks a node as the site's own servers do.
type asker struct {
	folder
	url, key string
}

// ask asks about a person.
func (a *asker) ask(ctx context.Context, w io.Writer, method, id, more string) error {
	return a.request(ctx, w, method, "/v1/profiles/"+url.PathEscape(id)+more, nil)
}

func (a *asker) request(ctx context.Context, w io.Writer, method, path string, content []byte) error {
	if err := a.find(); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(a.url, "/")+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("asking the node: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+a.key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("asking the node: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading the node's answer: %w", err)
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("the node refuses (%s): %s", resp.Status, strings.TrimSpace(string(body)))
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, body, "", "  "); err != nil {
		return fmt.Errorf("reading the node's answer: %w", err)
	}
	_, err = pretty.WriteTo(w)
	return err
}

// find fills in the running stack's address and key where none are given.
func (a *asker) find() error {
	a.key = adminkey.First(cmp.Or(a.key, os.Getenv(node.EnvAdminKey))) // the variable may name two
	if a.url != "" {
		if a.key == "" {
			return errors.New("a node of --url needs --admin-key or " + node.EnvAdminKey)
		}
		return nil
	}
	st, err := a.running()
	if err != nil {
		return err
	}
	if st.AdminHTTP == "" || st.AdminKey == "" {
		return errors.New("the running stack serves nothing over HTTP; start one with `./run.sh up`, or give --url and --admin-key")
	}
	a.url = "http://" + st.AdminHTTP
	if a.key == "" {
		b, err := os.ReadFile(st.AdminKey)
		if err != nil {
			return fmt.Errorf("reading the running stack's admin key: %w", err)
		}
		a.key = strings.TrimSpace(string(b))
	}
	return nil
}
