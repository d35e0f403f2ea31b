package diskspace

import (
	"errors"
	"strings"
	"testing"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	told := make(chan error, 10)
	w, err := Start(0, func(err error) { told <- err }, dir)
	if err != nil || w.Err() != nil || len(told) > 0 {
		t.Fatal(err, w.Err(), len(told))
	}
	w.Close()
	w, err = Start(1<<62, func(err error) { told <- err }, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var low *LowError
	if err := w.Err(); !errors.As(err, &low) || low.Dir != dir || low.Free == 0 || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
	if err := <-told; !errors.As(err, &low) {
		t.Error(err)
	}
	if _, err := Start(0, nil, dir+"/none"); err == nil {
		t.Error("a folder that is not there is watched")
	}
}

// TestALittleRoomIsNotEnough: what was too full needs a tenth more, or it would
// come and go with every merge.
func TestALittleRoomIsNotEnough(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, err := Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	limit := n - n/20 // others write to this disk, too: a twentieth is far
	if err := lowest([]string{dir}, limit, false); err != nil {
		t.Error(err)
	}
	if err := lowest([]string{dir}, limit, true); err == nil {
		t.Error("a twentieth more is enough")
	}
}
