package attack

import (
	"context"
	"net/http"
	"strconv"
)

// crawler is the agent of a robot, which marks who sends it.
const crawler = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"

// writers try to change what is the victim's.
func writers() []attack {
	return []attack{
		{"pollute", "sends an order, a cleared cart and a crawler's agent in the user's name", true, false, pollute},
		{"squat", "says on 60 devices to be the user, so that the user's own finds no place", true, false, squat},
		{"shadow", "sends messageIds before the shop's server does, so that its events look like duplicates", true, false, shadow},
		{"reserved", "sends control records and reserved ids", true, false, reserved},
	}
}

func pollute(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "pollute")
	if err != nil {
		return err
	}
	b := s.bots(4)
	defer b.close()
	kinds := []string{"Cart Cleared", "Order Completed", "Product Removed", "Checkout Started", "Order Refunded", "Cart Viewed"}
	b.each(ctx, r, len(kinds)*4, func(i int, x *sender) int {
		device := s.id("polluter%d", i%8)
		if i%2 == 0 {
			device = "user:" + v.user
		}
		e := track(device, kinds[i%len(kinds)], object{"userId": v.user, "context": object{"userAgent": crawler, "trust": "server", "microseg-trust": "server"},
			"properties": object{"product_id": "p1", "order_id": "o1", "quantity": secretItems, "total": 1, "products": []any{}}})
		status, _ := x.post(ctx, "/v1/batch", object{"batch": []any{e}, "writeKey": x.key, "trust": "server", "microseg-trust": "server"},
			func(q *http.Request) { q.Header.Set("microseg-trust", "server") }) // as if the verdict could be stated
		return status
	})
	// What came after the attack tells that what came before it was seen.
	if err := s.shop.must(ctx, added(v.device, 1, object{"userId": v.user, "context": object{"proof": v.proof}})); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return s.told(ctx, v).cart() == secretItems+1 }) {
		r.breach("the victim's cart has %v items, %d were put in", s.told(ctx, v).cart(), secretItems+1)
	}
	return nil
}

func squat(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "squat")
	if err != nil {
		return err
	}
	b := s.bots(4)
	defer b.close()
	b.each(ctx, r, 60, func(i int, x *sender) int {
		return x.batch(ctx, object{"type": "identify", "anonymousId": s.id("squatter%d", i), "userId": v.user}, track(s.id("squatter%d", i), "Seen", object{"userId": v.user}))
	})
	// The user's name itself, too, on which links might be counted.
	b.each(ctx, r, 10, func(i int, x *sender) int {
		return x.batch(ctx, object{"type": "identify", "anonymousId": "user:" + v.user, "userId": s.id("other%d", i)})
	})
	second := s.id("squat-laptop")
	if err := s.shop.must(ctx, v.login(second)); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return s.toldOn(ctx, v, second).cart() == secretItems }) {
		r.breach("a new device of the victim does not become the victim's, with a proof")
	}
	if err := s.shop.server(ctx, s.o.ServerKey, object{"type": "track", "event": "Order Completed", "userId": v.user,
		"properties": object{"order_id": s.id("order"), "total": 10}}); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return s.toldOn(ctx, v, second).cart() == 0 && s.told(ctx, v).cart() == 0 }) {
		r.breach("an order that the shop's server sends by userId does not reach the victim's devices")
	}
	return nil
}

func shadow(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "shadow")
	if err != nil {
		return err
	}
	id := s.id("order-1001")
	b := s.bots(2)
	defer b.close()
	for _, device := range []string{v.device, "user:" + v.user, s.id("shadow")} {
		b.each(ctx, r, 2, func(i int, x *sender) int {
			return x.batch(ctx, track(device, "Seen", object{"messageId": id, "userId": []any{v.user, nil}[i]}))
		})
	}
	for _, e := range []object{{"userId": v.user}, {"userId": v.user, "anonymousId": v.device}} {
		e["type"], e["event"], e["messageId"], e["properties"] = "track", "Order Completed", id, object{"order_id": id, "total": 10}
		if err := s.shop.server(ctx, s.o.ServerKey, e); err != nil {
			return err
		}
	}
	if !until(ctx, patience, func() bool { return s.told(ctx, v).cart() == 0 }) {
		r.breach("the shop's order does not count, since a stranger had used its messageId")
	}
	return nil
}

func reserved(ctx context.Context, s *suite, r *Result) error {
	v, err := s.enter(ctx, "reserved")
	if err != nil {
		return err
	}
	b := s.bots(1)
	defer b.close()
	types := []string{"$delete", "$deletion", "$unlink", "$disclaim", "$replay", "$reset", "$", "delete", "unlink", " $delete"}
	b.each(ctx, r, len(types), func(i int, x *sender) int {
		e := object{"type": types[i], "anonymousId": v.device, "userId": v.user, "receipt": "r", "person": "u:" + v.user}
		return x.batch(ctx, e)
	})
	for _, path := range []string{"/v1/identity/unlink", "/v1/identity/token"} {
		status, answer := b[0].post(ctx, path, object{"anonymousId": v.device, "userId": v.user}, func(q *http.Request) { q.SetBasicAuth(b[0].key, "") })
		r.Answers[strconv.Itoa(status)]++
		if status < 400 {
			r.breach("%s takes the public key: %.200s", path, answer)
		}
	}
	status, _ := b[0].do(ctx, http.MethodDelete, "/v1/profiles/u:"+v.user, nil, func(q *http.Request) { q.SetBasicAuth(b[0].key, "") })
	if r.Answers[strconv.Itoa(status)]++; status < 400 {
		r.breach("a profile can be deleted with the public key")
	}
	if err := s.shop.must(ctx, added(v.device, 1, object{"userId": v.user, "context": object{"proof": v.proof}})); err != nil {
		return err
	}
	if !until(ctx, patience, func() bool { return s.told(ctx, v).cart() == secretItems+1 }) {
		r.breach("the victim's cart has %v items, %d were put in", s.told(ctx, v).cart(), secretItems+1)
	}
	return nil
}
