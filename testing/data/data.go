// Package data carries the real clickstream that the demo replays and the
// tests are held to. README.md beside this file says where each file comes
// from and under which licence.
package data

import "embed"

// Files holds the raw files as their publishers give them.
//
//go:embed rees46 wikipedia_readers snowplow_web otto README.md
var Files embed.FS
