package clickhouse

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what a process has as its standard input, and the
// other side, which must stay open as long. On it waits the sign that nothing more
// will be typed.
//
// Without one the embedded library ends as a whole where a connection fails: of what
// has no terminal it takes every error for the last (KillingErrorHandler of
// clickhouse-local; mended upstream after 26.7.3). A wrong password on the native
// port was enough, or hanging up, or any bytes: each user of the machine, and each
// page in a browser, could end it as often as they liked.
func terminal() (input, other *os.File, err error) {
	if other, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			other.Close()
		}
	}()
	if err = unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("unlocking a terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, fmt.Errorf("the name of a terminal: %w", err)
	}
	if input, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	if _, err = other.Write([]byte{endOfText}); err != nil {
		input.Close()
		return nil, nil, fmt.Errorf("writing to a terminal: %w", err)
	}
	return input, other, nil
}

const endOfText = 4 // control-D
