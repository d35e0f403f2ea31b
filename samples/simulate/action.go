package simulate

import (
	"fmt"
	"math"

	"github.com/microseg/microseg/samples/spec"
)

// product is an article of the simulated shop.
type product struct {
	id, category string
	price        float64
}

// article draws a product; an expensive one is high-ticket electronics.
func (v *visitor) article(expensive bool) product {
	n := v.rng.IntN(400)
	if expensive {
		return product{fmt.Sprintf("e%d", n), "electronics/laptops", 700 + 5*float64(n)}
	}
	categories := []string{"apparel/shoes", "appliances/kitchen", "electronics/audio", "sports/cycling", "furniture/kitchen"}
	return product{fmt.Sprintf("p%d", n), categories[n%len(categories)], 15 + float64(n)/2}
}

// emit adds an event at the visitor's time on the page in view.
func (v *visitor) emit(name string, p map[string]any) {
	id := spec.Hash(fmt.Appendf(nil, "sim/%x/%d/%d", v.seed, v.index, v.n))
	if p == nil {
		p = map[string]any{}
	}
	p["page_type"] = v.pageType
	e := spec.Track(name, v.id, id, v.now, v.page, p)
	if name == "page" {
		e = spec.Page(v.id, id, v.now, v.page, p)
	}
	e.Context["simulated"] = true
	e.Context["userAgent"] = v.device.agent
	if v.device.kind != "" {
		e.Context["device"] = map[string]any{"type": v.device.kind}
		e.Context["os"] = map[string]any{"name": v.device.os}
	}
	e.Context["screen"] = map[string]any{"width": v.device.width, "height": v.device.height}
	e.Context["network"] = map[string]any{"effectiveType": v.device.network}
	v.pending = append(v.pending, timed{v.now, e})
	v.n++
}

// open shows another page.
func (v *visitor) open(pageType, path string) {
	v.page, v.pageType = path, pageType
	v.emit("page", map[string]any{"path": path})
}

// read stays on the page for some seconds, with a heartbeat every ten.
func (v *visitor) read(seconds float64) {
	for ; seconds > 0; seconds -= 10 {
		s := math.Min(10, seconds)
		v.wait(s, s)
		if s == 10 {
			v.emit("Page Pinged", map[string]any{"seconds": 10, "visible": true})
		}
	}
}

// scroll goes down to a depth (0 to 1); velocity is in px/s.
func (v *visitor) scroll(depth, velocity float64) {
	v.wait(1, 4)
	p := map[string]any{"depth": round(depth), "velocity": round(velocity)}
	if depth >= 0.5 {
		p["seconds_to_half"] = round(0.5 * 6 * float64(v.device.height) / velocity)
	}
	v.emit("Page Scrolled", p)
}

func (v *visitor) hover(element string) {
	v.wait(1, 3)
	v.emit("Element Hovered", map[string]any{"element": element, "duration_ms": 600 + v.rng.IntN(2400)})
}

// view opens a product's page.
func (v *visitor) view(p product) {
	v.open("product", "/product/"+p.id)
	v.emit("Product Viewed", p.properties())
}

// put adds the product in view to the cart.
func (v *visitor) put(p product) {
	v.wait(1, 5)
	q := p.properties()
	q["quantity"] = 1
	v.emit("Product Added", q)
	v.cart = append(v.cart, p)
}

// viewCart opens the cart.
func (v *visitor) viewCart() {
	v.wait(2, 6)
	v.open("cart", "/cart")
	v.emit("Cart Viewed", map[string]any{"value": v.value(), "products": v.products()})
}

// checkout fills the forms; the order is complete only where buy is set.
func (v *visitor) checkout(buy bool) {
	v.wait(3, 8)
	v.open("checkout", "/checkout/address")
	v.emit("Checkout Started", map[string]any{"value": v.value(), "products": v.products()})
	v.wait(1, 3)
	v.emit("Form Started", map[string]any{"form": "address"})
	v.read(20 + 20*v.rng.Float64())
	if !buy {
		return
	}
	v.emit("Form Submitted", map[string]any{"form": "address"})
	v.wait(2, 6)
	order := fmt.Sprintf("%s-%d", v.id, v.n)
	v.open("confirmation", "/order/"+order)
	v.emit("Order Completed", map[string]any{"order_id": order, "total": v.value(), "products": v.products()})
	v.cart = v.cart[:0]
}

// video plays the page's film, to its end where complete is set.
func (v *visitor) video(complete bool) {
	v.wait(1, 3)
	v.emit("Video Started", map[string]any{"position": 0})
	seconds := 8 + 20*v.rng.Float64()
	v.read(seconds)
	name := "Video Paused"
	if complete {
		name = "Video Completed"
	}
	v.emit(name, map[string]any{"position": round(seconds)})
}

func (p product) properties() map[string]any {
	return map[string]any{"product_id": p.id, "category": p.category, "price": p.price}
}

func (v *visitor) value() (sum float64) {
	for _, p := range v.cart {
		sum += p.price
	}
	return round(sum)
}

func (v *visitor) products() []any {
	out := make([]any, len(v.cart))
	for i, p := range v.cart {
		out[i] = map[string]any{"product_id": p.id, "price": p.price, "quantity": 1}
	}
	return out
}

func round(x float64) float64 { return math.Round(x*100) / 100 }
