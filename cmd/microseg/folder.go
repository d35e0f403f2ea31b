package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/microseg/microseg/clients"
	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/microseg/microseg/embedded/stack"
	"github.com/spf13/cobra"
)

// upDir is the folder of `up` where none is given; the demo has stack.Home itself.
var upDir = filepath.Join(stack.Home, "up")

// folder is the --dir of commands that look for a stack.
type folder struct{ dir string }

func (o *folder) flag(c *cobra.Command) {
	c.PersistentFlags().StringVar(&o.dir, "dir", "", "`folder` of the stack (default: that of up if it runs, else the last demo's)")
}

// candidates are the folders to look in, the likeliest first.
func (o *folder) candidates() []string {
	if o.dir != "" {
		return []string{o.dir}
	}
	return []string{upDir, stack.Home}
}

// running reads the addresses of the stack that another process keeps up.
func (o *folder) running() (stack.Addresses, error) {
	dirs := o.candidates()
	for _, dir := range dirs {
		if !stack.IsRunning(dir) {
			continue
		}
		a, err := stack.ReadAddresses(dir)
		if err != nil {
			return a, fmt.Errorf("reading the addresses of the stack in %s (pid %s; is it still starting?): %w", dir, stack.LockedBy(dir), err)
		}
		return a, nil
	}
	return stack.Addresses{}, fmt.Errorf("%w in %s: start one with `./run.sh up`, name its folder with --dir, or give addresses of your own (see --help)", errNotRunning, strings.Join(dirs, " or "))
}

var errNotRunning = errors.New("no stack is running")

// log is the log that was named, or that of the stack that runs here.
func (o *folder) log(brokers, topic string) ([]string, string, error) {
	seeds := cli.Split(brokers)
	if brokers == "" {
		a, err := o.running()
		if err != nil {
			return nil, "", err
		}
		seeds = []string{a.Kafka}
		clients.Kafka.Ours() // the stack has said so
		if topic == "" {
			topic = a.Topic
		}
	}
	if topic == "" {
		topic = "events"
	}
	return seeds, topic, nil
}
