// Package clients gets the tracking libraries of others, unmodified, from npm:
// tests send to the collector with them.
package clients

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/microseg/microseg/testing/harness/npm"
)

// The lock file pins versions and integrity (SHA-512); it names no registry,
// so that npm's own configuration decides on that.
//
//go:embed npm/package.json npm/package-lock.json
var pinned embed.FS

// Pages holds browser.html, a page with Segment's browser library:
//
//	/browser.html?key=WRITE_KEY[&collector=http://host:port]
//
// It expects the library's folder Browser at /analytics-next/ and sends a page
// call, an identify call and ten track calls ("Product Viewed", properties.seq
// 0 to 9), then sets document.title to "sent", or to "failed: …".
//
//	/crossorigin.html?library=…, another with any library, whose collector is elsewhere (TestAcrossOrigins)
//
//go:embed browser.html crossorigin.html
var Pages embed.FS

// Browser is the folder of Segment's browser library within the folder that
// Install returns: index.js and standalone.js with their bundles.
const Browser = "@segment/analytics-next/dist/umd"

// Install puts the pinned packages into <cacheDir>/clients (about 35 MB) and
// returns the folder node_modules; see npm.Install.
func Install(ctx context.Context, cacheDir string, log io.Writer) (modules string, err error) {
	pins, err := fs.Sub(pinned, "npm")
	if err != nil {
		return "", fmt.Errorf("reading the pinned tracking libraries: %w", err)
	}
	return npm.Install(ctx, filepath.Join(cacheDir, "clients"), pins, log)
}
