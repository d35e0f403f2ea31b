package event

// Error says why a record is not an event. Callers branch on Reason
// (errors.As); Detail is for the person who reads the dead letter.
type Error struct {
	Reason Reason // Malformed, Oversized, NoConsent or Future
	Detail string
	// Payload is what the dead letter keeps in place of the record's bytes,
	// where that is another thing: what the collector refused, or nothing.
	Payload *string
}

// Error implements error.
func (e *Error) Error() string {
	return "decoding event: " + string(e.Reason) + ": " + e.Detail
}

// Withheld reports whether the dead letter must not say whose record it is.
func (e *Error) Withheld() bool { return e.Reason == NoConsent }

func malformed(detail string) *Error { return &Error{Reason: Malformed, Detail: detail} }
