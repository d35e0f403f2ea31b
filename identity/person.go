package identity

import "github.com/microseg/microseg/session"

// Person is whom an export or a deletion is about: a user with the devices that
// are or were linked to it, or one device with the users that it was linked to.
type Person struct {
	User    string   // empty: the person is the device
	Devices []string // that are the person's whole; sorted
	Shared  []string // on which others were, too: of these a user has the own epochs; sorted
	Users   []string // that a device is taken from; empty for a user
	// Forgotten is after how many ms of silence a device begins anew; 0: never.
	Forgotten int64
}

// Names are the person ids of the rows and records that are the person's alone.
func (p *Person) Names() (names []string) {
	if p.User != "" {
		names = append(names, session.PersonID("", p.User))
	}
	for _, d := range p.Devices {
		names = append(names, session.PersonID(d, ""))
	}
	return names
}

// ErasedPerson is what a store needs to know to delete the person's rows and not
// those of who comes back.
type ErasedPerson struct {
	Person
	Tombstones map[string]map[int32]int64 // device → partition → offset
	Applied    int64                      // wall clock, ms: the job had applied the tombstones
	Back       map[string]bool            // person ids that are there again
	Disclaimed map[string]map[int32]int64 // devices that only claimed to be the user's, and where they stop: device → partition → offset
}

// Before reports whether a record is from before the person's tombstones, where
// its partition has any.
func (p *ErasedPerson) Before(partition int32, offset int64) bool {
	has := false
	for _, parts := range p.Tombstones {
		if o, ok := parts[partition]; ok {
			if has = true; offset < o {
				return true
			}
		}
	}
	return !has
}
