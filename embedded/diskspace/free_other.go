//go:build !linux

package diskspace

import "os"

// Free is not known on this system: only that the folder is there.
func Free(dir string) (uint64, error) {
	_, err := os.Stat(dir)
	return 1<<64 - 1, err
}
