package event

import "strings"

// Key is the key of every record about a device, and so decides its partition:
// the anonymousId, or the userId of a device that is a user's events without
// one. Collector, replay and simulator write it, and the source sends a record
// there that came with another one.
//
// It follows from the device alone. When it followed from how the event stated
// its ids, {"userId": "ann"} and {"anonymousId": "user:ann"}, which are one
// device, were in two partitions, and one job's state held it twice. The prefix
// goes, and is not kept for both, so that records of user devices stay in the
// partition that they have had.
func Key(device string) string {
	if user, ok := strings.CutPrefix(device, userDevice); ok && user != "" {
		return user
	}
	return device // never empty: what has no key may go to any partition
}
