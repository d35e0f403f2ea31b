package faults

import (
	"math/rand/v2"
	"strings"
	"time"
)

// What can happen. A kill names processes, joined by +; a zombie is a job that
// stands still, is replaced, and comes back.
const (
	kindPipeline   = "pipeline"
	kindKafka      = "kafka"
	kindClickHouse = "clickhouse"
	kindNode       = "node"
	kindZombie     = "zombie"
)

// deck is what happens at least once, in a random order.
var deck = []string{kindPipeline, kindKafka, kindPipeline, kindClickHouse, kindNode, kindZombie,
	kindPipeline + "+" + kindKafka, kindPipeline + "+" + kindClickHouse, kindPipeline,
	kindPipeline + "+" + kindKafka + "+" + kindClickHouse + "+" + kindNode}

// fault is one thing that happens.
type fault struct {
	at    time.Duration // since the first event
	kinds []string
	down  time.Duration // until it is started again; of a zombie: until it comes back
	node  int           // which of the nodes
}

// faults are those of a run, in the order of their times.
type faults []fault

// longest is the longest outage.
func (fs faults) longest() (d time.Duration) {
	for _, f := range fs {
		d = max(d, f.down)
	}
	return d
}

// limits of a schedule.
type limits struct {
	duration time.Duration // from the first event to the last
	every    time.Duration // between faults, on average
	down     time.Duration // longest outage
	pause    time.Duration // longest that a zombie stands still
}

// schedule draws the faults of a run: the deck over and over, each time
// shuffled. They end a little before the events do. Outages overlap at times.
func schedule(seed uint64, l limits) (out faults) {
	rng := rand.New(rand.NewPCG(seed, 2))
	var cards []string
	n := max(len(deck), int(l.duration/l.every))
	step := l.duration / time.Duration(n+1)
	for i := range n {
		if len(cards) == 0 {
			cards = append(cards, deck...)
			rng.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
		}
		f := fault{at: step*time.Duration(i) + step/2 + time.Duration(rng.Int64N(int64(step))), kinds: strings.Split(cards[0], "+"), node: rng.IntN(nodes)}
		cards = cards[1:]
		if f.kinds[0] == kindZombie {
			f.down = l.pause/4 + time.Duration(rng.Int64N(int64(l.pause*3/4)))
		} else if rng.IntN(3) > 0 { // else at once
			f.down = time.Duration(rng.Int64N(int64(l.down)))
		}
		out = append(out, f)
	}
	return out
}
