package session

import (
	"encoding/binary"
	"iter"
	"math"
	"math/bits"
	"slices"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/event/codec"
)

// item is the part of an event that the fold reads: what is kept of each event
// until the allowed lateness is over.
type item struct {
	Time, Offset int64
	ID           uint64
	Page         uint64
	Item         uint64
	X, Y, Z      float64
	screen
	Kind     event.Kind
	PageType event.PageType
	Element  uint8
	Flags    event.Flags
}

// screen is what an event says of its device: mostly the same as the one before.
type screen struct {
	Width, Height uint16
	Device        event.DeviceType
	OS            event.OS
	Network       event.Network
}

func newItem(e *event.Event) item {
	return item{Time: e.Time, Offset: e.Offset, ID: e.ID, Page: e.Page, Item: e.Item, X: e.X, Y: e.Y, Z: e.Z,
		screen: screen{Width: e.Width, Height: e.Height, Device: e.DeviceType, OS: e.OS, Network: e.Network},
		Kind:   e.Kind, PageType: e.PageType, Element: e.Element, Flags: e.Flags}
}

func (a *item) before(b *item) bool {
	return a.Time < b.Time || a.Time == b.Time && a.Offset < b.Offset
}

// list holds items in (time, offset) order, the first one apart from the ids
// written as differences to the one before it: ten minutes of events are most
// of the memory of a busy site, and an event takes about 25 bytes here instead
// of 88. Only a late event and folding away read it again.
type list struct {
	ids    []uint64
	data   []byte
	oldest int64
	start  link // what the first item is a difference to
	last   link // the newest item, which the next one is a difference to
}

// link is what an item's encoding depends on.
type link struct {
	time, offset int64
	page         uint64
	screen       screen
}

func linkOf(it *item) link { return link{it.Time, it.Offset, it.Page, it.screen} }

// Bits of an item's first byte: what follows it.
const (
	hasPage = 1 << iota
	hasScreen
	hasX
	hasY
	hasZ
	hasItem
	hasElement
	hasFlags
)

func (l *list) len() int { return len(l.ids) }

// follows reports whether the item comes after all others.
func (l *list) follows(it *item) bool {
	return len(l.ids) == 0 || l.last.time < it.Time || l.last.time == it.Time && l.last.offset < it.Offset
}

// append adds an item that follows.
func (l *list) append(it *item) {
	if len(l.ids) == 0 {
		l.start = link{time: it.Time, offset: it.Offset}
		l.last, l.oldest = l.start, it.Time
	}
	l.ids = append(l.ids, it.ID)
	l.data = encode(l.data, it, &l.last)
	l.last = linkOf(it)
}

func encode(b []byte, it *item, prev *link) []byte {
	at := len(b)
	b = append(b, 0, byte(it.Kind), byte(it.PageType))
	var mask byte
	b = binary.AppendUvarint(b, uint64(it.Time-prev.time))
	b = binary.AppendVarint(b, it.Offset-prev.offset)
	if it.Page != prev.page {
		mask |= hasPage
		b = binary.LittleEndian.AppendUint64(b, it.Page)
	}
	if it.screen != prev.screen {
		mask |= hasScreen
		s := &it.screen
		b = append(b, byte(s.Width), byte(s.Width>>8), byte(s.Height), byte(s.Height>>8), byte(s.Device), byte(s.OS), byte(s.Network))
	}
	for i, v := range [...]float64{it.X, it.Y, it.Z} {
		if v != 0 {
			mask |= hasX << i
			// Small whole numbers have their bits at the front.
			b = binary.AppendUvarint(b, bits.ReverseBytes64(math.Float64bits(v)))
		}
	}
	if it.Item != 0 {
		mask |= hasItem
		b = binary.LittleEndian.AppendUint64(b, it.Item)
	}
	if it.Element != 0 {
		mask |= hasElement
		b = append(b, it.Element)
	}
	if it.Flags != 0 {
		mask |= hasFlags
		b = append(b, byte(it.Flags))
	}
	b[at] = mask
	return b
}

// decode reads the item that follows prev and returns what is behind it.
func decode(b []byte, it *item, prev *link) []byte {
	mask := b[0]
	*it = item{Kind: event.Kind(b[1]), PageType: event.PageType(b[2]), Page: prev.page, screen: prev.screen}
	b = b[3:]
	dt, n := binary.Uvarint(b)
	b = b[n:]
	do, n := binary.Varint(b)
	b = b[n:]
	it.Time, it.Offset = prev.time+int64(dt), prev.offset+do
	if mask&hasPage != 0 {
		it.Page = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	if mask&hasScreen != 0 {
		it.screen = screen{uint16(b[0]) | uint16(b[1])<<8, uint16(b[2]) | uint16(b[3])<<8, event.DeviceType(b[4]), event.OS(b[5]), event.Network(b[6])}
		b = b[7:]
	}
	for i, v := range [...]*float64{&it.X, &it.Y, &it.Z} {
		if mask&(hasX<<i) != 0 {
			u, n := binary.Uvarint(b)
			*v = math.Float64frombits(bits.ReverseBytes64(u))
			b = b[n:]
		}
	}
	if mask&hasItem != 0 {
		it.Item = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	if mask&hasElement != 0 {
		it.Element, b = b[0], b[1:]
	}
	if mask&hasFlags != 0 {
		it.Flags, b = event.Flags(b[0]), b[1:]
	}
	return b
}

// all goes through the items in order; each is valid until the next.
func (l *list) all() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		var it item
		b, prev := l.data, l.start
		for i := range l.ids {
			b = decode(b, &it, &prev)
			it.ID = l.ids[i]
			prev = linkOf(&it)
			if !yield(&it) {
				return
			}
		}
	}
}

// head is the first item.
func (l *list) head() (it item) {
	decode(l.data, &it, &l.start)
	return it
}

// items is a copy of all items.
func (l *list) items() []item {
	out := make([]item, 0, len(l.ids)+1)
	for it := range l.all() {
		out = append(out, *it)
	}
	return out
}

// replace makes the list one of these items, which must be in order.
func (l *list) replace(items []item) {
	*l = list{ids: l.ids[:0], data: l.data[:0]}
	for i := range items {
		l.append(&items[i])
	}
}

// drop takes the first n items out, but not all of them.
func (l *list) drop(n int) {
	if n == 0 {
		return
	}
	var it item
	b := l.data
	for range n {
		b = decode(b, &it, &l.start)
		l.start = linkOf(&it)
	}
	_ = decode(b, &it, &l.start)
	l.oldest = it.Time
	l.ids = shrink(l.ids, l.ids[n:])
	l.data = shrink(l.data, b)
}

// shrink moves the rest of a slice to its front, and to a smaller place once
// most of its own is empty.
func shrink[V any](s, rest []V) []V {
	if cap(s) > 64 && 3*len(rest) < cap(s) {
		return slices.Clone(rest)
	}
	return append(s[:0], rest...)
}

// appendTo writes the list as it is, but for its length.
func (l *list) appendTo(w *codec.Writer) {
	for _, id := range l.ids {
		w.Fixed(id)
	}
	l.start.appendTo(w)
	w.Bytes(l.data)
}

// read reads n items that appendTo wrote.
func (l *list) read(r *codec.Reader, n int) {
	for range n {
		l.ids = append(l.ids, r.Fixed())
		if r.Err() != nil {
			return
		}
	}
	l.start = readLink(r)
	l.data = slices.Clone(r.Bytes())
	if r.Err() != nil || !l.check() {
		r.Fail()
		*l = list{}
	}
}

// check goes through data of unknown origin once and finds oldest and last.
func (l *list) check() (ok bool) {
	// Truncated items are read beyond the end, damaged numbers from before it.
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	var it item
	b, prev := l.data, l.start
	for i := range l.ids {
		b = decode(b, &it, &prev)
		if it.Time < prev.time || it.PageType >= event.NumPageTypes {
			return false
		}
		if i == 0 {
			l.oldest = it.Time
		}
		prev = linkOf(&it)
	}
	l.last = prev
	return len(b) == 0
}

func (k *link) appendTo(w *codec.Writer) {
	w.Int(k.time)
	w.Int(k.offset)
	w.Fixed(k.page)
	w.Uint(uint64(k.screen.Width))
	w.Uint(uint64(k.screen.Height))
	w.B = append(w.B, byte(k.screen.Device), byte(k.screen.OS), byte(k.screen.Network))
}

func readLink(r *codec.Reader) link {
	return link{time: r.Int(), offset: r.Int(), page: r.Fixed(), screen: screen{Width: uint16(r.Uint()), Height: uint16(r.Uint()),
		Device: event.DeviceType(r.Byte()), OS: event.OS(r.Byte()), Network: event.Network(r.Byte())}}
}
