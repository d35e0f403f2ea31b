package config

import (
	_ "embed" // the shipped configuration
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Shipped is the configuration file that comes with microseg.
//
//go:embed microseg.yaml
var Shipped []byte

// ShippedName is how problems name the shipped file.
const ShippedName = "microseg.yaml"

// maxFile bounds what is parsed: a configuration is written by hand.
const maxFile = 1 << 20

// Default returns a fresh copy of the shipped configuration.
func Default() *Config {
	c := &Config{}
	if err := c.read(Shipped, ShippedName); err != nil {
		panic(fmt.Sprintf("config: reading the shipped file: %v", err)) // a test reads it
	}
	return c
}

// Demo is the shipped configuration as the demo has it: whoever has the public write
// key, which is in its pages, may say who a visitor is.
func Demo() *Config {
	c := Default()
	c.Identity.Verification = "off"
	return c
}

// LoadDemo is Load, but Demo where there is no file.
func LoadDemo(path string) (*Config, error) {
	if path == "" {
		return Demo(), nil
	}
	return Load(path)
}

// Load reads a configuration file; an empty path means the shipped one.
// Errors in the file are Problems.
func Load(path string) (*Config, error) {
	data, name, err := source(path)
	if err != nil {
		return nil, err
	}
	return Parse(data, name)
}

func source(path string) (data []byte, name string, err error) {
	if path == "" {
		return Shipped, ShippedName, nil
	}
	if data, err = os.ReadFile(path); err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	return data, path, nil
}

// Parse reads YAML over the shipped configuration: keys that data leaves out
// keep their shipped value, lists that it states replace the shipped ones.
// Unknown keys, wrong types and values out of bounds are Problems, all of them,
// with the line and column in name.
func Parse(data []byte, name string) (*Config, error) {
	c, out := parse(data, name)
	if c != nil {
		out = append(out, c.rest(out, c.validate())...)
	}
	if len(out) > 0 {
		return nil, out.sorted()
	}
	return c, nil
}

// Examine reads a file as Load does and looks at it as Check does, so that
// everything that is wrong is told at once.
func Examine(path string) (*Config, Problems, error) {
	data, name, err := source(path)
	if err != nil {
		return nil, nil, err
	}
	c, out := parse(data, name)
	if c != nil {
		out = append(out, c.rest(out, c.Check())...)
	}
	return c, out.sorted(), nil
}

// parse reads what can be read; c is nil where nothing can.
func parse(data []byte, name string) (c *Config, out Problems) {
	c = Default()
	err := c.read(data, name)
	if err == nil {
		return c, nil
	}
	if p := (misfits{}); errors.As(err, &p) {
		return c, Problems(p)
	}
	errors.As(err, &out)
	return nil, out
}

// misfits are problems beside which the rest of a file was read.
type misfits Problems

func (m misfits) Error() string { return Problems(m).Error() }

// rest are the problems that do not follow from those that are known: what is at
// a place that could not be read, or around one, has its default.
func (c *Config) rest(known, more []Problem) (out Problems) {
	for _, p := range more {
		if !slices.ContainsFunc(known, func(k Problem) bool {
			return k.Path != "" && (k.Path == p.Path || strings.HasPrefix(k.Path, p.Path+".") || strings.HasPrefix(p.Path, k.Path+".") || strings.HasPrefix(p.Path, k.Path+"["))
		}) {
			out = append(out, p)
		}
	}
	return out
}

// read decodes data over c and notes where its values stand.
func (c *Config) read(data []byte, name string) (err error) {
	if len(data) > maxFile {
		return Problems{{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("the file has %d bytes; keep it below 1 MiB", len(data))}}
	}
	if tooDeep(data) {
		return Problems{{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("more than %d open brackets; close them", maxNesting)}}
	}
	// A panic of the YAML library must refuse the configuration, not end the
	// process.
	defer func() {
		if r := recover(); r != nil {
			err = Problems{{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("this is not YAML that can be read (%v); check indentation and quotes", r)}}
		}
	}()
	body, marks, err := locate(data, name)
	if err != nil || body == nil {
		return err
	}
	f := fitter{file: name}
	fits := f.value(body, reflect.TypeFor[Config](), "")
	c.forget(marks)
	if _, rules := marks["rules"]; !rules {
		if _, tree := marks["segments"]; tree {
			c.Rules = nil // they are about the segments of another tree
		}
	}
	templates := c.Templates
	if fits {
		if err := yaml.NodeToValue(body, c, durationOption()); err != nil {
			return problemOf(err, name)
		}
	}
	c.inherit(templates)
	if len(f.problems) > 0 {
		return misfits(f.problems)
	}
	return nil
}

// inherit adds the templates that the file does not state.
func (c *Config) inherit(older map[string]string) {
	all := map[string]string{}
	maps.Copy(all, older)
	maps.Copy(all, c.Templates)
	c.Templates = all
}

// problemOf turns an error of the YAML library into a problem with its place.
func problemOf(err error, name string) Problems {
	p := Problem{File: name, Line: 1, Column: 1, Message: err.Error()}
	if at := yaml.Error(nil); errors.As(err, &at) {
		p.Message = at.GetMessage()
		if t := at.GetToken(); t != nil && t.Position != nil {
			p.Line, p.Column = t.Position.Line, t.Position.Column
		}
	}
	return Problems{p}
}
