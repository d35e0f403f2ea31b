package api

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/throttle"
)

// TestPlacesOfStreams: whatever comes and goes, the bounds hold, what is counted is what
// is there, and a known visitor is refused only when nobody else has more places than
// his own address, or that has its share.
func TestPlacesOfStreams(t *testing.T) {
	t.Parallel()
	refused, err := throttle.NewRefusals(nil)
	check(t, err)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		s := newStreams(1+rnd.IntN(40), 0.1+rnd.Float64(), refused)
		var all []*place
		for range 2000 {
			s.rest[true], s.rest[false] = &throttle.Rest{}, &throttle.Rest{}
			addr, known := netip.AddrFrom4([4]byte{byte(rnd.IntN(1 + rnd.IntN(12)))}), rnd.IntN(2) == 0
			switch {
			case rnd.IntN(4) == 0 && len(all) > 0:
				i := rnd.IntN(len(all))
				s.leave(all[i])
				all = append(all[:i], all[i+1:]...)
			case rnd.IntN(6) == 0 && len(all) > 0:
				s.learn(all[rnd.IntN(len(all))])
			default:
				mine, most, strangers := 0, 0, 0
				by := map[netip.Addr]int{}
				for _, p := range all {
					if by[p.addr]++; p.addr == addr {
						mine++
					}
					if most = max(most, by[p.addr]); !p.known {
						strangers++
					}
				}
				p, err := s.enter(addr, known)
				switch {
				case err == nil:
					all = append(all, p)
				case known && mine < s.each && (strangers > 0 || len(all) < s.max || most > mine+1):
					t.Fatalf("a known visitor is refused: %v; %d of %d, %d strangers, %d of %d its own", err, len(all), s.max, strangers, mine, most)
				}
			}
			kept, by, strangers := all[:0], map[netip.Addr]int{}, 0
			for _, p := range all {
				select {
				case <-p.end:
				default:
					kept = append(kept, p)
					if by[p.addr]++; !p.known {
						strangers++
					}
					if by[p.addr] > s.each {
						t.Fatalf("an address has %d of %d", by[p.addr], s.each)
					}
				}
			}
			if all = kept; len(all) != s.n || len(all) > s.max || strangers != s.strangers || strangers > (s.max+1)/2 || len(by) != len(s.by) {
				t.Fatalf("%d streams, %d counted, of %d; %d strangers, %d counted; %d addresses, %d counted", len(all), s.n, s.max, strangers, s.strangers, len(by), len(s.by))
			}
		}
	}
}

// TestStreamsThatNobodyReads: 300 streams that nobody read used up max_streams, and the shop's
// visitors got none for 80 s. While strangers hold all that they can, from one address or
// from many, a visitor who is known gets one, and so does one of whom nothing is known yet.
func TestStreamsThatNobodyReads(t *testing.T) {
	t.Parallel()
	for name, addresses := range map[string]int{"one address": 1, "many": 10} {
		s := newSite(t, func(_ *config.Config, c *Config) { c.MaxStreams = 40 })
		addr := s.serve(t, nil)
		s.put("d:known", s.record(abandoner))
		s.sync()
		want := min(20, 10*addresses)
		for i := range 60 {
			conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.0.1.%d", 1+i%addresses))}}).Dial("tcp", addr)
			check(t, err)
			t.Cleanup(func() { conn.Close() })
			io.WriteString(conn, "GET /api/stream?anonymousId=x HTTP/1.1\r\nHost: x\r\n\r\n")
			conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.streams.open(); n != want {
			t.Errorf("%s: strangers hold %d streams, not %d", name, n, want)
		}
		for i, id := range []string{"known", "new", "known", "known"} {
			if l := s.listen(t, addr, "anonymousId="+id); l.resp.StatusCode != 200 {
				t.Errorf("%s: visitor %d (%s) is answered %d", name, i, id, l.resp.StatusCode)
			} else if line := <-l.lines; !strings.HasPrefix(line, "event: segment") {
				t.Errorf("%s: visitor %d gets %q", name, i, line)
			}
		}
	}
}

// TestStrangerBecomesKnown: the first visitor of a site listens before anything is known of
// him; the place that he has then is one of those that are kept.
func TestStrangerBecomesKnown(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *config.Config, c *Config) { c.MaxStreams, c.Share = 4, 1 })
	addr := s.serve(t, nil)
	first := s.listen(t, addr, "anonymousId=first")
	s.put("d:first", s.record(abandoner))
	first.until("what he did", func(a *segmentAnswer) bool { return a.Known })
	s.listen(t, addr, "anonymousId=b")
	if l := s.listen(t, addr, "anonymousId=c"); l.resp.StatusCode != 200 {
		t.Errorf("two strangers have no room beside one who is known: %d", l.resp.StatusCode)
	}
}

// open counts the streams.
func (t *streams) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
