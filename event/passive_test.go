package event

import "testing"

// TestPassive: 2,000 identifies of a shop's nightly job, marked active: false, made 2,000
// active visitors, and every segment lost its audience. Nobody visits by them, nor by what a
// server states of somebody without the mark.
func TestPassive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trust Trust
		body  string
		want  bool
	}{
		{Server, `"type":"identify","anonymousId":"a","userId":"u"`, true},
		{Server, `"type":"identify","userId":"u"`, true},
		{Unchecked, `"type":"identify","userId":"u"`, true},
		{Server, `"type":"group","userId":"u"`, true},
		{Server, `"type":"alias","userId":"u","previousId":"a"`, true},
		{Public, `"type":"identify","anonymousId":"a","context":{"active":false}`, true},
		{Public, `"type":"track","event":"Order Completed","anonymousId":"a","context":{"active":"false"}`, true},
		{Server, `"type":"page","userId":"u","context":"{\"active\":0}"`, true},
		{Server, `"type":"page","userId":"u","context":{"active":false,"active":true}`, false},
		{Public, `"type":"page","anonymousId":"a","context":{"active":null}`, false},
		{Public, `"type":"identify","anonymousId":"a","userId":"u"`, false},
		{Server, `"type":"track","event":"Order Completed","userId":"u"`, false},
		{Server, `"type":"page","userId":"u","context":{"active":true}`, false},
	} {
		var e Event
		raw := `{` + c.body + `,"timestamp":"2026-03-04T12:34:56Z"}`
		if err := newDecoder(t).Decode([]byte(raw), c.trust, 0, &e); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if got := e.Flags&FlagPassive != 0; got != c.want {
			t.Errorf("%s from %s: passive %v", raw, c.trust, got)
		}
	}
}
