package config

import (
	_ "embed" // the shipped configuration
	"errors"
	"fmt"
	"maps"
	"os"

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

// Load reads a configuration file; an empty path means the shipped one.
// Errors in the file are Problems.
func Load(path string) (*Config, error) {
	if path == "" {
		return Parse(Shipped, ShippedName)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(data, path)
}

// Parse reads YAML over the shipped configuration: keys that data leaves out
// keep their shipped value, lists that it states replace the shipped ones.
// Unknown keys, wrong types and values out of bounds are Problems, with the
// line and column in name.
func Parse(data []byte, name string) (*Config, error) {
	c := Default()
	if err := c.read(data, name); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
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
	marks, empty, err := locate(data, name)
	if err != nil || empty {
		return err
	}
	if p := checkScalars(marks); len(p) > 0 {
		return p
	}
	c.forget(marks)
	if _, rules := marks["rules"]; !rules {
		if _, tree := marks["segments"]; tree {
			c.Rules = nil // they are about the segments of another tree
		}
	}
	templates := c.Templates
	if err := yaml.UnmarshalWithOptions(data, c, yaml.Strict(), durationOption()); err != nil {
		return problemOf(err, name)
	}
	c.inherit(templates)
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
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		p.Message += "; check the spelling and the indentation, or remove it"
	}
	return Problems{p}
}
