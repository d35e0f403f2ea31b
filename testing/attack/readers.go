package attack

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// secretItems is how much is in a victim's cart: who is told of so many has seen it.
const secretItems = 7391

var secretShown = regexp.MustCompile(fmt.Sprintf(`\b%d\b`, secretItems))

// victim is a user who has logged in with proof on a device.
type victim struct {
	user, device, proof string
}

// enter makes a victim with a cart, and waits until the victim sees it.
func (s *suite) enter(ctx context.Context, name string) (*victim, error) {
	v := &victim{user: s.id("%s@shop.example", name), device: s.id("%s-phone", name)}
	mac := hmac.New(sha256.New, []byte(s.o.IdentityKey))
	mac.Write([]byte(v.user))
	v.proof = hex.EncodeToString(mac.Sum(nil))
	if err := s.shop.must(ctx, v.login(v.device), added(v.device, secretItems)); err != nil {
		return nil, err
	}
	if !until(ctx, patience, func() bool { return s.told(ctx, v).cart() == secretItems }) {
		return nil, fmt.Errorf("%s does not see the own cart with a proof", v.user)
	}
	return v, nil
}

// login is an identify with proof on a device.
func (v *victim) login(device string) object {
	return object{"type": "identify", "anonymousId": device, "userId": v.user, "context": object{"proof": v.proof}}
}

// told is what the victim is told with its proof.
func (s *suite) told(ctx context.Context, v *victim) state { return s.toldOn(ctx, v, v.device) }

func (s *suite) toldOn(ctx context.Context, v *victim, device string) (out state) {
	status, b := s.shop.post(ctx, "/api/segment", object{"anonymousId": device, "userId": v.user, "proof": v.proof}, nil)
	if status == http.StatusOK {
		out = decodeState(b)
	}
	return out
}

// readers try to read what is the victim's.
func readers() []attack {
	return []attack{
		{"ids", "asks for a user by every id that the system knows of", true, false, readIDs},
		{"claim", "says to be the user, with the public key, and asks for the own device", true, false, readClaim},
		{"planted", "plants an anonymousId on the victim, who logs in with proof on it", true, false, readPlanted},
		{"admin", "guesses the admin key", false, false, guessAdmin},
	}
}

// ways are how a stranger may ask for somebody: what it does, and its answer.
func ways(ctx context.Context, x *sender, anonymous, user string) map[string][]byte {
	q, out := url.Values{}, map[string][]byte{}
	if anonymous != "" {
		q.Set("anonymousId", anonymous)
	}
	if user != "" {
		q.Set("userId", user)
	}
	ask := func(name string, status int, body []byte) { out[name] = fmt.Appendf(nil, "%d %s", status, body) }
	for _, path := range []string{"/api/segment", "/api/segment/explain"} {
		status, b := x.get(ctx, path+"?"+q.Encode())
		ask("GET "+path, status, b)
	}
	body := object{"anonymousId": anonymous, "userId": user, "event": "/cart"}
	for _, path := range []string{"/api/segment", "/api/personalize"} {
		status, b := x.post(ctx, path, body, nil)
		ask("POST "+path, status, b)
	}
	ask("GET /api/stream", http.StatusOK, x.firstOfStream(ctx, "/api/stream?"+q.Encode()))
	for _, id := range []string{"u:" + user, "d:" + anonymous} {
		status, b := x.get(ctx, "/v1/profiles/"+url.PathEscape(id))
		ask("GET /v1/profiles/"+id[:2], status, b)
	}
	return out
}

// firstOfStream is what a stream says at once.
func (x *sender) firstOfStream(ctx context.Context, path string) (out []byte) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url+path, nil)
	if err != nil {
		panic(err)
	}
	a, err := x.http.Do(r)
	if err != nil {
		return nil
	}
	defer a.Body.Close()
	for lines := bufio.NewScanner(a.Body); lines.Scan(); {
		out = append(append(out, lines.Bytes()...), '\n')
		if strings.HasPrefix(lines.Text(), "data:") || a.StatusCode != http.StatusOK {
			return out
		}
	}
	return out
}

// leak notes what the answers tell, and breaches where it is the victim's.
func (s *suite) leak(r *Result, who string, answers map[string][]byte) {
	seen := 0
	for way, b := range answers {
		if text := string(b); secretShown.MatchString(text) {
			r.breach("%s sees the victim's cart by %s: %.200s", who, way, text)
			seen++
		}
	}
	r.Saw[who] = fmt.Sprintf("%d of %d answers tell of the victim", seen, len(answers))
}

func readIDs(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "ids")
	if err != nil {
		return err
	}
	x := s.sender(botHost(0))
	defer x.close()
	for _, id := range []string{"user:" + v.user, "u:" + v.user, "d:" + v.user, v.user, "user:" + url.QueryEscape(v.user), "User:" + v.user} {
		s.leak(r, "anonymousId "+strings.TrimSuffix(id, v.user)+"<user>", ways(ctx, x, id, ""))
	}
	s.leak(r, "userId alone", ways(ctx, x, "", v.user))
	s.leak(r, "userId with an own device", ways(ctx, x, s.id("mallory"), v.user))
	return nil
}

func readClaim(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "claim")
	if err != nil {
		return err
	}
	x := s.sender(botHost(0))
	defer x.close()
	for _, kind := range []string{"identify", "alias", "track", "group"} {
		device := s.id("mallory-%s", kind)
		e := object{"type": kind, "anonymousId": device, "userId": v.user, "event": "Seen", "previousId": v.device, "groupId": "g"}
		if err := x.must(ctx, track(device, "Seen"), e, added(device, 2)); err != nil {
			return err
		}
		if !until(ctx, patience, func() bool { return x.device(ctx, device).cart() == 2 }) {
			r.breach("after %s with another's userId the sender's own device shows nothing of its own", kind)
		}
		s.leak(r, kind, ways(ctx, x, device, ""))
		s.leak(r, kind+", and the userId", ways(ctx, x, device, v.user))
	}
	if got := s.told(ctx, v).cart(); got != secretItems {
		r.breach("the victim's cart has %v items, it had %d", got, secretItems)
	}
	return nil
}

func readPlanted(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "planted")
	if err != nil {
		return err
	}
	x := s.sender(botHost(0))
	defer x.close()
	planted := s.id("planted")
	if err := x.must(ctx, track(planted, "Seen")); err != nil {
		return err
	}
	token := ""
	until(ctx, patience, func() bool { token = x.device(ctx, planted).Token; return token != "" })
	if err := s.shop.must(ctx, v.login(planted)); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return s.toldOn(ctx, v, planted).cart() == secretItems }) {
		return fmt.Errorf("the victim does not see the own cart on a second device")
	}
	s.leak(r, "the planted anonymousId", ways(ctx, x, planted, ""))
	s.leak(r, "the planted anonymousId and the userId", ways(ctx, x, planted, v.user))
	status, b := x.post(ctx, "/api/segment", object{"anonymousId": planted, "token": token}, nil)
	s.leak(r, "a token from before the log-in", map[string][]byte{"POST /api/segment": fmt.Appendf(nil, "%d %s", status, b)})
	return nil
}

func guessAdmin(ctx context.Context, s *suite, r *Result) error {
	b := s.bots(1)
	defer b.close()
	b.each(ctx, r, s.scaled(200), func(i int, x *sender) int {
		status, _ := x.do(ctx, http.MethodGet, "/api/segment?userId=ann", nil, func(q *http.Request) { q.Header.Set("Authorization", fmt.Sprintf("Bearer guess-%040d", i)) })
		if status == http.StatusOK {
			r.breach("a guessed admin key is taken")
		}
		return status
	})
	return nil
}
