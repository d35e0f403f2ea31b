package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// answer is what a node says of a visitor.
type answer struct {
	Known  bool   `json:"known"`
	Path   string `json:"path"`
	Served string `json:"served"`
	Since  int64  `json:"since"`
	Linked bool   `json:"linked"`
}

// askers ask one node at a time.
const askers = 8

// served: each node answers for everybody, by device and by user, what the
// record says.
func (c *comparison) served(ctx context.Context, rec *record, nodes []string) error {
	type question struct{ query, person string }
	var all []question
	for person := range rec.persons {
		if user, ok := strings.CutPrefix(person, "u:"); ok {
			all = append(all, question{"userId=" + url.QueryEscape(user), person})
		}
	}
	for _, device := range c.truth.want.Devices() {
		person := "d:" + device
		if user := c.truth.want.User(device); user != "" {
			person = "u:" + user
		}
		all = append(all, question{"anonymousId=" + url.QueryEscape(device), person})
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: askers}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var failed error
	for n, node := range nodes {
		var done sync.WaitGroup
		for i := range askers {
			done.Go(func() {
				for j := i; j < len(all); j += askers {
					got, err := ask(ctx, client, node, all[j].query)
					mu.Lock()
					if err != nil {
						failed = err
						mu.Unlock()
						return
					}
					c.report.Lookups++
					c.serves(n, all[j].query, got, rec.persons[all[j].person])
					mu.Unlock()
				}
			})
		}
		done.Wait()
	}
	return failed
}

func (c *comparison) serves(node int, query string, got answer, s *state) {
	if s == nil { // a device that logged out and was not seen since
		if got.Known {
			c.differ.add("served", "node %d, %s: %+v; ClickHouse knows nobody", node, query, got)
		}
		return
	}
	if want := (answer{true, s.path, s.served, s.since, got.Linked}); got != want {
		c.differ.add("served", "node %d, %s: %+v; ClickHouse has %+v", node, query, got, want)
	}
}

func ask(ctx context.Context, client *http.Client, node, query string) (out answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, node+"/api/segment?"+query, nil)
	if err != nil {
		return out, fmt.Errorf("asking a node: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := client.Do(r)
	if err != nil {
		return out, fmt.Errorf("asking a node: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s %s", resp.Status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil {
		return out, fmt.Errorf("asking %s%s: %w", node, query, err)
	}
	return out, nil
}

// readyTimeout is how long a node may take to have read the log.
const readyTimeout = 30 * time.Second

// awaitReady waits until the nodes have read all segments.
func awaitReady(ctx context.Context, p *progress) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for node := range p.urls {
		for p.ready(ctx, node) != nil {
			pause(ctx, every)
			if ctx.Err() != nil {
				return fmt.Errorf("waiting for node %d to be ready: %w", node, ctx.Err())
			}
		}
	}
	return nil
}
