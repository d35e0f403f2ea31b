//go:build !linux

package httpserver

import (
	"net"
	"time"
)

// limitUnread is the work of keep-alive probes here.
func limitUnread(net.Conn, time.Duration) {}
