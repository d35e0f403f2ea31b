package httpserver

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnread ends the connection when what was sent is not taken for so long: a client
// that has gone without a word, or one that does not read and whose buffers are full. A
// write deadline sees neither while our own buffers have room, as with a stream that says
// little.
func limitUnread(c net.Conn, d time.Duration) {
	sc, ok := socket(c).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // a connection that ends meanwhile needs none
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
