package event

// Error says why a record is not an event. Callers branch on Reason
// (errors.As); Detail is for the person who reads the dead letter.
type Error struct {
	Reason Reason // Malformed, Oversized or Future
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	return "decoding event: " + string(e.Reason) + ": " + e.Detail
}

func malformed(detail string) *Error { return &Error{Malformed, detail} }
