package clickhouseio

import (
	"hash/maphash"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

var seed = maphash.MakeSeed()

// newest picks of each key the row with the highest version, the later one of
// equals, in the order of each key's first appearance.
func newest(b *block) []pick {
	keys, version := b.table.Keys(), b.table.Column("version")
	picks := make([]pick, 0, b.taken)
	seen := make(map[uint64]int32, b.taken)
	var hashes []uint64
	for p := range b.parts {
		rec := b.parts[p].rec
		hashes = hashKeys(hashes, rec, keys)
		versions := rec.Column(version).(*array.Uint64)
		for row, h := range hashes {
			at, ok := seen[h]
			switch {
			case !ok:
				seen[h] = int32(len(picks))
				picks = append(picks, pick{int32(p), int32(row)})
			case !sameKey(b, picks[at], rec, row, keys):
				// Two keys with one hash: keep both, ClickHouse sorts them out.
				picks = append(picks, pick{int32(p), int32(row)})
			case versions.Value(row) >= b.parts[picks[at].part].rec.Column(version).(*array.Uint64).Value(int(picks[at].row)):
				picks[at] = pick{int32(p), int32(row)}
			}
		}
	}
	return picks
}

// hashKeys hashes the key columns of every row, column by column.
func hashKeys(into []uint64, rec arrow.Record, keys []int) []uint64 {
	n := int(rec.NumRows())
	if cap(into) < n {
		into = make([]uint64, n)
	}
	into = into[:n]
	clear(into)
	for _, k := range keys {
		switch a := rec.Column(k).(type) {
		case *array.String:
			for i := range into {
				into[i] = mix(into[i], maphash.String(seed, a.Value(i)))
			}
		case *array.Timestamp:
			mixAll(into, a.TimestampValues())
		case *array.Int64:
			mixAll(into, a.Int64Values())
		case *array.Uint64:
			mixAll(into, a.Uint64Values())
		case *array.Int32:
			mixAll(into, a.Int32Values())
		case *array.Uint16:
			mixAll(into, a.Uint16Values())
		}
	}
	return into
}

func mixAll[V ~int64 | ~uint64 | ~int32 | ~uint16](into []uint64, vs []V) {
	for i := range into {
		into[i] = mix(into[i], uint64(vs[i]))
	}
}

// mix is the finaliser of splitmix64 over both inputs.
func mix(h, v uint64) uint64 {
	h = (h ^ v) + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func sameKey(b *block, p pick, rec arrow.Record, row int, keys []int) bool {
	other := b.parts[p.part].rec
	for _, k := range keys {
		same := false
		switch a := rec.Column(k).(type) {
		case *array.String:
			same = a.Value(row) == other.Column(k).(*array.String).Value(int(p.row))
		case *array.Timestamp:
			same = a.Value(row) == other.Column(k).(*array.Timestamp).Value(int(p.row))
		case *array.Int64:
			same = a.Value(row) == other.Column(k).(*array.Int64).Value(int(p.row))
		case *array.Uint64:
			same = a.Value(row) == other.Column(k).(*array.Uint64).Value(int(p.row))
		case *array.Int32:
			same = a.Value(row) == other.Column(k).(*array.Int32).Value(int(p.row))
		case *array.Uint16:
			same = a.Value(row) == other.Column(k).(*array.Uint16).Value(int(p.row))
		}
		if !same {
			return false
		}
	}
	return true
}
