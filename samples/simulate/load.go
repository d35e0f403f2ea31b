package simulate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// LoadOptions say how many events a benchmark needs. Equal options give equal
// events.
type LoadOptions struct {
	Seed          uint64
	Visitors      int
	Identified    float64 // share of the visitors whose events carry a userId
	Events        int
	Start         time.Time
	RatePerSecond float64 // of event time
	Zipf          float64 // above 1: visitor k comes as often as (Head+k)^-Zipf; 0: all come equally often
	Head          float64 // at least 1: the larger, the flatter the head
}

// loadTail makes an event about 540 bytes long, as a browser's are.
const loadTail = `},"context":{"simulated":true,"library":{"name":"analytics.js"},"locale":"en",` +
	`"device":{"type":"desktop"},"os":{"name":"Windows"},"network":{"effectiveType":"4g"},"screen":{"width":1920,"height":1080},` +
	`"userAgent":"` + desktopAgent + `","page":{"path":"`

// loadMix is what a hundred events are, by share.
var loadMix = []struct {
	share                  float64
	name, pageType, folder string
	measure                func(b []byte, rng *rand.Rand) []byte
}{
	{0.25, "page", "product", "/product/", nil},
	{0.10, "page", "list", "/category/", nil},
	{0.08, "page", "comparison", "/compare/", nil},
	{0.20, "Page Pinged", "product", "/product/", func(b []byte, _ *rand.Rand) []byte { return append(b, `,"seconds":10,"visible":true`...) }},
	{0.14, "Page Scrolled", "product", "/product/", func(b []byte, r *rand.Rand) []byte {
		b = strconv.AppendFloat(append(b, `,"depth":`...), float64(r.IntN(101))/100, 'f', -1, 64)
		return strconv.AppendInt(append(b, `,"velocity":`...), int64(200+r.IntN(2000)), 10)
	}},
	{0.08, "Element Hovered", "comparison", "/compare/", func(b []byte, r *rand.Rand) []byte {
		return strconv.AppendInt(append(b, `,"element":"price","duration_ms":`...), int64(300+r.IntN(3000)), 10)
	}},
	{0.10, "Product Viewed", "product", "/product/", appendPrice},
	{0.04, "Product Added", "product", "/product/", appendPrice},
	{0.01, "Order Completed", "confirmation", "/order/", func(b []byte, r *rand.Rand) []byte {
		return strconv.AppendInt(append(b, `,"total":`...), int64(10+r.IntN(900)), 10)
	}},
}

func appendPrice(b []byte, r *rand.Rand) []byte {
	b = strconv.AppendInt(append(b, `,"category":"electronics/audio","quantity":1,"price":`...), int64(10+r.IntN(900)), 10)
	return strconv.AppendInt(append(b, `,"product_id":"p`...), int64(r.IntN(5000)), 10)
}

// Load emits events of about 540 bytes in the order of their times. Key (event.Key of the device: the anonymousId) and value are valid during
// the call only.
func Load(o LoadOptions, emit func(key, value []byte) error) error {
	if o.Visitors <= 0 || o.Events < 0 || o.RatePerSecond <= 0 {
		return fmt.Errorf("simulating %d events of %d visitors at %v a second: visitors and rate must be above zero", o.Events, o.Visitors, o.RatePerSecond)
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	next := func() int { return rng.IntN(o.Visitors) }
	if o.Zipf > 0 {
		z := rand.NewZipf(rng, o.Zipf, o.Head, uint64(o.Visitors-1))
		if z == nil {
			return fmt.Errorf("simulating visitors by Zipf %v with a head of %v: the first must be above 1, the second at least 1", o.Zipf, o.Head)
		}
		next = func() int { return int(z.Uint64()) }
	}
	var key, value []byte
	for i := range o.Events {
		visitor := next()
		key = strconv.AppendInt(append(key[:0], "sim-load-"...), int64(visitor), 10)
		at := o.Start.Add(time.Duration(float64(i) / o.RatePerSecond * float64(time.Second)))
		user := -1
		if float64(visitor) < o.Identified*float64(o.Visitors) {
			user = visitor / 2 // each has two devices
		}
		value = appendLoad(value[:0], o.Seed, i, user, key, at, rng)
		if err := emit(key, value); err != nil {
			return err
		}
	}
	return nil
}

func appendLoad(b []byte, seed uint64, i, user int, key []byte, at time.Time, rng *rand.Rand) []byte {
	x, m := rng.Float64(), loadMix[0]
	for _, m = range loadMix {
		if x -= m.share; x < 0 {
			break
		}
	}
	path := rng.IntN(5000)
	if m.name == "page" {
		b = append(b, `{"type":"page"`...)
	} else {
		b = append(append(append(b, `{"type":"track","event":"`...), m.name...), '"')
	}
	b = append(append(append(b, `,"anonymousId":"`...), key...), '"')
	if user >= 0 {
		b = append(strconv.AppendInt(append(b, `,"userId":"sim-user-`...), int64(user), 10), '"')
	}
	b = strconv.AppendUint(append(b, `,"messageId":"load-`...), seed, 16)
	b = strconv.AppendInt(append(b, '-'), int64(i), 10)
	b = at.UTC().AppendFormat(append(b, `","timestamp":"`...), "2006-01-02T15:04:05.000Z")
	b = append(append(append(b, `","properties":{"page_type":"`...), m.pageType...), '"')
	if m.measure != nil {
		b = m.measure(b, rng)
		if m.name == "Product Viewed" || m.name == "Product Added" {
			b = append(b, '"') // closes the product_id
		}
	}
	b = append(append(b, loadTail...), m.folder...)
	return append(strconv.AppendInt(b, int64(path), 10), `"}}}`...)
}
