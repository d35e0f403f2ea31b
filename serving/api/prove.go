package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/microseg/microseg/segment"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/session"
)

// proofLife is for how long a proof without an end, and any other one at most, lets
// tokens be renewed.
const proofLife = 24 * time.Hour

// prove takes the proof of a userId that a request has: its own, or that of a token that
// was issued on one.
func (s *Server) prove(v *visitor, a *asked, admin bool) error {
	now := time.UnixMilli(v.now)
	if a.proof != "" && a.user != "" && !admin {
		until, err := s.Proofs.Verify(a.user, a.proof, now)
		if err == nil {
			v.proven, v.until = token.Subject(session.PersonID("", a.user)), now.Add(proofLife).Unix()
			if !until.IsZero() {
				v.until = min(v.until, until.Unix())
			}
			return nil
		}
		// A page keeps its proof, which may have ended: the device is answered all the same.
		if v.refuse = "userId, proof: " + err.Error(); a.device == "" {
			return &Error{http.StatusForbidden, v.refuse}
		}
	}
	for _, text := range [...]string{a.token, a.cookie} {
		if text == "" || v.id == "" {
			continue
		}
		c, err := s.Keys.Verify(text, token.Segment, s.Site, now)
		if err == nil && c.Proven != "" && c.Subject == token.Subject(v.id) && v.now/1000 < c.Until {
			v.proven, v.until = c.Proven, c.Until
			return nil
		}
	}
	return nil
}

// proved takes away what was found of a user of whom the request has no proof: whoever
// planted an anonymousId in somebody's browser would read what she did after her log-in.
// Who has a proof is answered as that user, also before the link has been decided.
func (s *Server) proved(v *visitor, a *asked, ok bool) (bool, error) {
	if strings.HasPrefix(v.person, "u:") && token.Subject(v.person) != v.proven {
		v.record = segment.Record{Values: v.record.Values}
		v.person, v.hidden = v.id, true
		return false, nil
	}
	user := session.PersonID("", a.user)
	if a.user == "" || strings.HasPrefix(v.person, "u:") || v.proven != token.Subject(user) {
		return ok, nil
	}
	var of segment.Record
	is, err := s.Store.Get(user, &of)
	if err != nil || !is {
		return ok, err
	}
	v.person, v.record = user, of
	return true, nil
}
