package event

import "github.com/go-faster/jx"

// eachMember calls f with the members of an object whose text has been checked.
func eachMember(raw []byte, f func(key []byte, v *value)) {
	jx.DecodeBytes(raw).ObjBytes(func(d *jx.Decoder, key []byte) error {
		v, err := readValue(d)
		if err == nil {
			f(key, &v)
		}
		return err
	})
}

// eachElement calls f with the elements of an array whose text has been checked;
// it reports whether it was one.
func eachElement(raw []byte, f func(v *value)) bool {
	return jx.DecodeBytes(raw).Arr(func(d *jx.Decoder) error {
		v, err := readValue(d)
		if err == nil {
			f(&v)
		}
		return err
	}) == nil
}

// readValue reads the next value, containers as their text.
func readValue(d *jx.Decoder) (v value, err error) {
	if v.typ = d.Next(); v.typ == jx.String {
		v.b, err = d.StrBytes()
		return v, err
	}
	raw, err := d.Raw()
	v.b = raw
	return v, err
}
