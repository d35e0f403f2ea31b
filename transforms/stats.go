package transforms

import (
	"sync"

	"github.com/microseg/microseg/identity"
)

// Stats are what a job's stages in this process hold and have done.
type Stats struct {
	Read, Good, Duplicate, Dead uint64                        // records, by verdict
	Stray                       uint64                        // of the dead: in another partition than their device
	Devices                     int                           // in state
	Persons                     int                           // in state: devices that are persons, and users
	LetGo                       [len(identity.Classes)]uint64 // devices that were let go for want of room, by identity.Class
	Moves                       uint64                        // changes of a path
	Excess                      uint64                        // alerts of the limits of identity
	Claims                      uint64                        // epochs of devices that name a user without a proof, newly
	Proven                      uint64                        // such epochs that are the user's since a proof came
	Warnings                    uint64                        // details of records that could not be read
	Healed                      uint64                        // gaps that were read again from the log
	Reloads                     uint64                        // decoded shards that were not trusted, the first load of each included
}

// board collects the stats of a job's shards.
type board struct {
	mu      sync.Mutex
	devices map[int]Stats
	users   map[int]Stats
}

func newBoard() *board { return &board{devices: map[int]Stats{}, users: map[int]Stats{}} }

// device notes the absolute state of a device shard; moves and healed add up.
func (b *board) device(shard int, s Stats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Moves += b.devices[shard].Moves
	s.Excess += b.devices[shard].Excess
	s.Claims += b.devices[shard].Claims
	s.Proven += b.devices[shard].Proven
	s.Warnings += b.devices[shard].Warnings
	s.Healed += b.devices[shard].Healed
	b.devices[shard] = s
}

// user does the same for a person shard.
func (b *board) user(shard int, s Stats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Moves += b.users[shard].Moves
	s.Excess += b.users[shard].Excess
	b.users[shard] = s
}

// sum is what all shards have.
func (b *board) sum() (sum Stats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range []map[int]Stats{b.devices, b.users} {
		for _, s := range m {
			sum.Read, sum.Good, sum.Duplicate, sum.Dead = sum.Read+s.Read, sum.Good+s.Good, sum.Duplicate+s.Duplicate, sum.Dead+s.Dead
			sum.Stray += s.Stray
			for c, n := range s.LetGo {
				sum.LetGo[c] += n
			}
			sum.Claims, sum.Proven = sum.Claims+s.Claims, sum.Proven+s.Proven
			sum.Warnings += s.Warnings
			sum.Devices, sum.Persons, sum.Moves, sum.Excess, sum.Healed = sum.Devices+s.Devices, sum.Persons+s.Persons, sum.Moves+s.Moves, sum.Excess+s.Excess, sum.Healed+s.Healed
		}
	}
	return sum
}
