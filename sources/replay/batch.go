package replay

import (
	"bytes"

	"github.com/go-faster/jx"
)

// batch is a body as libraries send it: {"batch": [...], "context", "sentAt"}.
type batch struct {
	events          []jx.Raw
	context, sentAt jx.Raw
	typed           bool // it has a type: an event that has a member of that name
}

var batchKey = []byte(`"batch"`)

// eachOf calls f with every event of a record that is a batch, in the form in
// which the collector puts it on the log, else with the record itself.
func eachOf(it item, f func(item) error) error {
	if it.broken != "" || !bytes.Contains(it.raw, batchKey) {
		return f(it)
	}
	b, err := readBatch(it.raw)
	if err != nil || b.events == nil || b.typed {
		return f(it)
	}
	for _, e := range b.events {
		if e.Type() == jx.Object {
			if e, err = b.complete(e); err != nil {
				return err
			}
		}
		if err := f(item{line: it.line, raw: e}); err != nil {
			return err
		}
	}
	return nil
}

func readBatch(raw []byte) (b batch, err error) {
	d := jx.DecodeBytes(raw)
	err = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		var err error
		switch name := string(key); {
		case name == "batch" && d.Next() == jx.Array:
			b.events = []jx.Raw{}
			return d.Arr(func(d *jx.Decoder) error {
				e, err := d.RawAppend(nil)
				b.events = append(b.events, e)
				return err
			})
		case name == "context" && d.Next() == jx.Object:
			b.context, err = d.RawAppend(nil)
		case name == "sentAt" && d.Next() != jx.Null:
			b.sentAt, err = d.RawAppend(nil)
		case name == "type":
			b.typed = true
			err = d.Skip()
		default:
			err = d.Skip()
		}
		return err
	})
	return b, err
}

// complete is an event with what the batch says for all: its context under the
// event's own, member by member, and the time of sending, which is that of the
// event, too, where it states none.
func (b *batch) complete(event jx.Raw) (jx.Raw, error) {
	has := map[string]bool{}
	var own jx.Raw
	out := &jx.Encoder{}
	out.ObjStart()
	err := jx.DecodeBytes(event).ObjBytes(func(d *jx.Decoder, key []byte) error {
		name, stated := string(key), d.Next() != jx.Null
		v, err := d.RawAppend(nil)
		if err != nil {
			return err
		}
		has[name] = has[name] || stated
		if name == "context" {
			own = v
			return nil
		}
		out.FieldStart(name)
		out.Raw(v)
		return nil
	})
	if err != nil {
		return event, nil // the decoder says what is wrong with it
	}
	if b.sentAt != nil && !has["sentAt"] {
		out.FieldStart("sentAt")
		out.Raw(b.sentAt)
	}
	if b.sentAt != nil && !has["timestamp"] && !has["originalTimestamp"] {
		out.FieldStart("timestamp")
		out.Raw(b.sentAt)
	}
	if context, err := over(own, b.context); err != nil {
		return nil, err
	} else if context != nil {
		out.FieldStart("context")
		out.Raw(context)
	}
	out.ObjEnd()
	return out.Bytes(), nil
}

// over is the object own over the object base, member by member. What is no
// object stays as it is.
func over(own, base jx.Raw) (jx.Raw, error) {
	if own == nil || own.Type() == jx.Null {
		return base, nil
	}
	if base == nil || own.Type() != jx.Object {
		return own, nil
	}
	out, has := &jx.Encoder{}, map[string]bool{}
	out.ObjStart()
	for _, from := range []jx.Raw{own, base} {
		err := jx.DecodeBytes(from).ObjBytes(func(d *jx.Decoder, key []byte) error {
			v, err := d.RawAppend(nil)
			if err == nil && !has[string(key)] {
				has[string(key)] = true
				out.FieldStart(string(key))
				out.Raw(v)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	out.ObjEnd()
	return out.Bytes(), nil
}
