// Package bundle makes web/microseg.js, the script that pages load, from the
// modules in web/src. `go generate ./web` writes it; a test of package web
// says when that was forgotten.
package bundle

import (
	"errors"
	"fmt"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// banner is the first line of the script.
const banner = "/* microseg: web/src, docs/page.md */"

// Build joins and minifies the modules that entry imports into one script for
// browsers of the last years.
func Build(entry string) ([]byte, error) {
	r := api.Build(api.BuildOptions{
		EntryPoints: []string{entry}, Bundle: true, Format: api.FormatIIFE, Charset: api.CharsetUTF8,
		Target:           api.ES2021,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		Banner: map[string]string{"js": banner},
	})
	if len(r.Errors) > 0 {
		return nil, fmt.Errorf("bundling %s: %w", entry, errors.New(strings.Join(api.FormatMessages(r.Errors, api.FormatMessagesOptions{}), "\n")))
	}
	if len(r.OutputFiles) != 1 {
		return nil, fmt.Errorf("bundling %s: esbuild made %d files, one is expected", entry, len(r.OutputFiles))
	}
	return r.OutputFiles[0].Contents, nil
}
