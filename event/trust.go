package event

// Trust is how well it is known who has sent a record, and so whether it may say
// whose device it is about. The collector judges it once, at receipt, and writes it
// beside the record (TrustHeader), where no payload reaches; who reads the log never
// judges again (docs/adr/0020).
type Trust uint8

// Trusts. The order is part of the wire format.
const (
	Unstated  Trust = iota // nobody has judged: files, topics of others, records older than verdicts
	Server                 // it came with a secret server key
	Proven                 // it came with the public write key and a proof of its userId
	Unchecked              // it came with the public write key while identity.verification was off
	Public                 // it came with the public write key, which everybody has
	Linked                 // it came with the token of a link: the device is its user's from here on, without what it did before
	numTrusts
)

// TrustHeader is the header of a record of the log that has its Trust.
const TrustHeader = "microseg-trust"

var trusts = [numTrusts]string{"unstated", "server", "proven", "unchecked", "public", "linked"}

// String is the form that TrustHeader has.
func (t Trust) String() string {
	if t >= numTrusts {
		return "public"
	}
	return trusts[t]
}

// ReadTrust reads what String made. What is not understood is not trusted.
func ReadTrust(b []byte) Trust {
	for t, name := range trusts {
		if string(b) == name {
			return Trust(t)
		}
	}
	return Public
}

// Known reports whether it is a trust.
func (t Trust) Known() bool { return t < numTrusts }

// Verified reports whether the record's userId is believed.
func (t Trust) Verified() bool { return t != Public }

// fromPage reports whether somebody who has the public key alone may have sent it.
func (t Trust) fromPage() bool { return t == Public || t == Proven || t == Linked }

// of is the id of an event of the trust: what comes with the public key is a
// duplicate of such events alone, or a stranger's event with the messageId that a shop
// will give its next order would make that one a duplicate.
func (t Trust) of(id uint64) uint64 {
	switch t {
	case Public:
		id ^= 0x9e3779b97f4a7c15
	case Proven:
		id ^= 0xc2b2ae3d27d4eb4f
	case Linked:
		id ^= 0x165667b19e3779f9
	}
	if id == 0 {
		return 1
	}
	return id
}
