package api

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/microseg/microseg/event"
	"github.com/microseg/microseg/rule"
	"github.com/microseg/microseg/serving/token"
	"github.com/microseg/microseg/session"
)

// maxOffers bounds the offers of a request that are looked at.
const maxOffers = 16

// offer is one that the visitor has been granted, by its token or just now.
type offer struct {
	token.Offer
	until   int64 // s since the epoch: none of the name is granted before
	kept    bool  // it fills its slot now, whatever the rules say
	content content
	text    string // signed; empty: not yet
}

// when stands for the deadline in packed HTML, so that it is the same for many
// visitors. Templates cannot write it.
const when = "\x00"

// packed is the HTML that was packed last of an action.
type packed struct {
	html  string
	bytes []byte
}

// pack packs an action's HTML, or has done so for the last visitor.
func (f *form) pack(html string) []byte {
	p := f.packed.Load()
	if p == nil || p.html != html {
		p = &packed{html, pack(content{html, f.values})}
		f.packed.Store(p)
	}
	return p.bytes
}

// content is what an offer fills its slot with.
type content struct {
	HTML string            `json:"h"`
	Data map[string]string `json:"d,omitempty"`
}

// offerWord is what a page says of an offer: its token, and what became of it
// since. Saying so takes something away from the visitor alone, so that it
// needs no proof.
type offerWord struct{ Token, State string }

// UnmarshalJSON reads a token or an object. What is neither is no offer.
func (o *offerWord) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, &o.Token)
	case '{':
		var w struct{ Token, State string }
		if err := json.Unmarshal(b, &w); err == nil {
			*o = w
		}
	}
	return nil
}

var offerStates = [...]string{token.Open: "open", token.Dismissed: "dismissed", token.Redeemed: "redeemed"}

func stateOf(word string) token.State {
	return token.State(max(0, slices.Index(offerStates[:], word)))
}

// ordered reports whether the visitor has just ordered: the page confirms an
// order, and the cart is empty. An order that a server tells of is seen so.
func (s *Server) ordered(v *visitor, page event.PageType) bool {
	return page == event.PageConfirmation && v.emptied()
}

// emptied reports whether the person's cart is known to be empty, as each order
// leaves it.
func (v *visitor) emptied() bool {
	return v.proof == known && v.view.Values[session.SlotCartItems] == 0
}

// ordersOf is how an offer notes the person's orders: 1 + how many are known, and of
// whom; 0 when nobody has looked.
func (s *Server) ordersOf(v *visitor) (orders int64, whose string) {
	if v.proof != known {
		return 0, ""
	}
	if v.person != v.id {
		whose = token.Subject(v.person)
	}
	return 1 + int64(v.view.Values[s.slots.orders]), whose
}

// meet redeems an open offer when its person has ordered since it was granted, on
// whichever device: more orders are known than then, and the cart is empty. What is
// known may also grow because a device with orders of its own became the person's,
// which empties no cart. Orders of two persons are not compared: of whom logs
// in, those count that come from then on. The number is never lowered, since a node that
// is behind would make old orders new.
func (s *Server) meet(v *visitor, o *token.Offer) {
	orders, whose := s.ordersOf(v)
	switch {
	case orders == 0 || o.State != token.Open:
	case o.Orders == 0 || o.Person != whose:
		o.Orders, o.Person = orders, whose
	case orders > o.Orders && v.emptied():
		o.State = token.Redeemed
	}
}

// readOffers takes the offers that were granted to this very visitor. One of
// a name counts, the earliest: two tabs may each have been granted it. An order
// redeems all that stand.
func (s *Server) readOffers(v *visitor, ordered bool, words []offerWord) {
	if v.told = len(words) > 0; v.owner == "" {
		return
	}
	for _, w := range words[:min(len(words), maxOffers)] {
		c, err := s.Keys.Verify(w.Token, token.Grant, s.Site, s.Now())
		if err != nil || c.Offer == nil || c.Subject != v.owner {
			continue
		}
		o := offer{Offer: *c.Offer, until: c.Expires}
		o.State = max(o.State, stateOf(w.State))
		s.meet(v, &o.Offer)
		if ordered && o.State == token.Open {
			o.State = token.Redeemed
		}
		v.addOffer(o)
	}
	slices.SortStableFunc(v.offers, func(a, b offer) int { return cmp.Compare(a.Granted, b.Granted) })
	for i := range v.offers {
		o := &v.offers[i]
		if o.State != token.Open || o.Deadline != 0 && o.Deadline <= v.now {
			o.Content = nil // nobody sees it again
			continue
		}
		if o.Deadline != 0 && v.keptIn(o.Slot) == nil {
			o.kept = unpack(o.Content, &o.content) == nil
			o.content.HTML = strings.ReplaceAll(o.content.HTML, when, strconv.FormatInt(o.Deadline, 10))
		}
	}
}

func (v *visitor) addOffer(o offer) {
	have := v.offerOf(o.Name)
	switch {
	case have == nil:
		v.offers = append(v.offers, o)
	case o.Granted < have.Granted:
		o.State = max(o.State, have.State)
		*have = o
	default:
		have.State = max(have.State, o.State)
	}
}

func (v *visitor) offerOf(name string) *offer {
	for i := range v.offers {
		if v.offers[i].Name == name {
			return &v.offers[i]
		}
	}
	return nil
}

// keptIn is the offer that fills a slot.
func (v *visitor) keptIn(slot string) *offer {
	for i := range v.offers {
		if v.offers[i].kept && v.offers[i].Slot == slot {
			return &v.offers[i]
		}
	}
	return nil
}

// may reports whether an action may fill its slot for a visitor: what is known
// of them is enough, no offer is kept there, and if it is an offer itself, it
// was not granted within its cap. One without a deadline goes on where it was
// granted, for as long as its rule holds.
func (s *Server) may(v *visitor, a *rule.Action) bool {
	if !s.allowed(v, a.Rule) || v.keptIn(a.Slot) != nil {
		return false
	}
	o := v.offerOf(a.Offer)
	return a.Offer == "" || o == nil || o.State == token.Open && o.Deadline == 0 && o.Rule == a.Rule.Name && o.Slot == a.Slot
}

// grant notes an offer that is made from a time on, so that it is kept. One that
// is too long for a token is shown as any other content is.
func (s *Server) grant(v *visitor, a *rule.Action, from, deadline int64, html string) {
	if v.owner == "" || v.offerOf(a.Offer) != nil {
		return
	}
	until := max(deadline, from+a.Rule.Cap.Milliseconds())
	o := offer{until: (until + 999) / 1000, Offer: token.Offer{Name: a.Offer, Rule: a.Rule.Name, Slot: a.Slot, Granted: from, Deadline: deadline, TTL: int64(a.TTL.Seconds())}}
	o.Orders, o.Person = s.ordersOf(v)
	if deadline != 0 {
		o.Content = s.forms[a].pack(strings.ReplaceAll(html, strconv.FormatInt(deadline, 10), when))
	}
	o.text = s.signOffer(v, &o)
	if o.until*1000 > v.now && len(o.text) <= token.MaxGrant {
		v.offers = append(v.offers, o)
	}
}

func (s *Server) signOffer(v *visitor, o *offer) string {
	return s.Keys.Sign(token.Claims{Audience: token.Grant, Site: s.Site, Subject: v.owner, Issued: o.Granted / 1000, Expires: o.until, Offer: &o.Offer})
}

// appendOffers appends the visitor's offers, for the page to keep: name, slot,
// rule, state (open, ended, dismissed, redeemed), deadline and until (ms; none
// is granted before), and the token. edge: the slot is one that edges fill.
func (s *Server) appendOffers(b []byte, v *visitor) []byte {
	b = append(b, `,"offers":[`...)
	for i := range v.offers {
		o := &v.offers[i]
		state := offerStates[o.State]
		if o.State == token.Open && o.Deadline != 0 && o.Deadline <= v.now {
			state = "ended"
		}
		b = appendText(comma(b), `{"offer":`, o.Name)
		b = appendText(b, `,"slot":`, o.Slot)
		b = appendText(b, `,"rule":`, o.Rule)
		b = appendText(b, `,"state":`, state)
		b = appendInt(b, `,"granted":`, o.Granted)
		if o.Deadline != 0 {
			b = appendInt(b, `,"deadline":`, o.Deadline)
		}
		b = appendInt(b, `,"until":`, o.until*1000)
		if id, ok := s.Rules.Slot(o.Slot); ok && s.Rules.Slots()[id].Edge {
			b = append(b, `,"edge":true`...)
		}
		if o.text == "" {
			o.text = s.signOffer(v, o)
		}
		b = append(appendText(b, `,"token":`, o.text), '}')
	}
	return append(b, ']')
}

// appendKept appends the action of an offer that is kept.
func appendKept(b []byte, o *offer) []byte {
	b = appendText(b, `{"slot":`, o.Slot)
	b = appendText(b, `,"html":`, o.content.HTML)
	if len(o.content.Data) > 0 {
		data, err := json.Marshal(o.content.Data)
		if err != nil {
			panic(fmt.Sprintf("api: encoding strings: %v", err))
		}
		b = append(append(b, `,"data":`...), data...)
	}
	b = appendInt(b, `,"ttl_s":`, o.TTL)
	b = appendInt(b, `,"deadline":`, o.Deadline)
	b = appendText(b, `,"offer":`, o.Name)
	b = appendText(b, `,"rule":`, o.Rule)
	return append(b, `,"kept":true,"why":[{"text":"the offer is kept until its deadline","holds":true}]}`...)
}

// comma appends what stands between the members of a list.
func comma(b []byte) []byte {
	if b[len(b)-1] == '[' {
		return b
	}
	return append(b, ',')
}

// packers are writers to be used again: making one costs more than packing.
var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(fmt.Sprintf("api: %v", err)) // the level is a constant
	}
	return w
}}

// pack makes what a token carries small.
func pack(c content) []byte {
	var b bytes.Buffer
	w := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	w.Reset(&b)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := errors.Join(e.Encode(c), w.Close()); err != nil {
		panic(fmt.Sprintf("api: packing strings into memory: %v", err))
	}
	return b.Bytes()
}

// maxContent bounds what is unpacked, in bytes.
const maxContent = 1 << 18

func unpack(b []byte, into *content) error {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), maxContent))
	if err != nil {
		return fmt.Errorf("unpacking an offer: %w", err)
	}
	return json.Unmarshal(text, into)
}

// slack is by how much a page's own clock may be behind the visitor's events, in ms.
const slack = 1000

// forget takes away what the record tells of the page before: the request comes
// from a page of another type, or one that was come to after. Otherwise what was
// read there fills this page's slots until its first event is decided.
func (s *Server) forget(v *visitor, page event.PageType, viewMS *float64) {
	if v.proof != known {
		return
	}
	values := v.view.Values
	was := event.PageType(values[s.slots.page])
	another := was != event.PageUnknown && page != event.PageUnknown && page != event.PageOther && was != page
	if another || viewMS != nil && values[session.SlotPageDwell]*1000 > *viewMS+slack {
		values[session.SlotPageDwell], values[session.SlotScrollDepth], values[session.SlotScrollHalf] = 0, 0, 0
	}
}
