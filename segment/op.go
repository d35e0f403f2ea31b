package segment

// op is a comparison.
type op uint8

const (
	opLT op = iota
	opLE
	opGT
	opGE
	opEQ
	opNE
)

var opNames = [...]string{"<", "<=", ">", ">=", "==", "!="}

func (o op) String() string { return opNames[o] }

// mirrored is the operator with its sides exchanged.
func (o op) mirrored() op { return [...]op{opGT, opGE, opLT, opLE, opEQ, opNE}[o] }

// negated is the operator that holds where o does not, NaN aside.
func (o op) negated() op { return [...]op{opGE, opGT, opLE, opLT, opNE, opEQ}[o] }

// ordering reports whether the operator needs an order.
func (o op) ordering() bool { return o < opEQ }

func (o op) holds(a, b float64) bool {
	switch o {
	case opLT:
		return a < b
	case opLE:
		return a <= b
	case opGT:
		return a > b
	case opGE:
		return a >= b
	case opEQ:
		return a == b
	}
	return a != b
}
