package peers

// paths are the ways through the tree of microseg's shipped configuration.
var paths = [...]string{
	"everyone",
	"everyone/high_intent",
	"everyone/high_intent/high_ticket_retarget",
	"everyone/high_intent/cart_abandoner",
	"everyone/high_intent/price_sensitive_analyzer",
	"everyone/high_intent/price_sensitive",
	"everyone/high_intent/mobile_low_time",
	"everyone/medium_intent",
	"everyone/medium_intent/price_sensitive_analyzer",
	"everyone/medium_intent/mobile_3g",
	"everyone/low_intent",
	"everyone/low_intent/price_sensitive_analyzer",
	"everyone/low_intent/mobile_3g",
	"everyone/price_sensitive_analyzer",
}

// intent is from 0 up to 1, as of t.
func (v *visitor) intent(t int64) float64 {
	return 1 - half(v.live*half(float64(t-v.newest)/liveHalfLife)/kappa)
}

// evaluate is the visitor's path at time t, its place in paths: at each level the first
// child whose condition holds.
func (v *visitor) evaluate(t int64) uint8 {
	intent := v.intent(t)
	analyzer := v.comparison >= 90_000 && v.price > 0 && v.features > 0
	slow := v.device == deviceMobile && v.network == network3G
	switch {
	case intent > 0.75 || v.items > 0 && t-v.changed < forget:
		return v.highIntent(t, intent, analyzer)
	case intent > 0.4:
		return choose(7, analyzer, slow)
	case intent > 0.05:
		return choose(10, analyzer, slow)
	case analyzer:
		return 13
	}
	return 0
}

func (v *visitor) highIntent(t int64, intent float64, analyzer bool) uint8 {
	leaves := v.items > 0 && (t-v.newest >= idleAfter || v.page == pageHome || v.page == pageContent || v.page == pageOther)
	switch {
	case leaves && v.costly >= 480_000:
		return 2
	case leaves && v.comparison >= 90_000:
		return 3
	case analyzer:
		return 4
	case intent > 0.75 && v.value > 100:
		return 5
	case v.device == deviceMobile && v.newest-v.start < 120_000:
		return 6
	}
	return 1
}

// choose is a layer, or its analyzer, or its visitor on a slow phone.
func choose(layer uint8, analyzer, slow bool) uint8 {
	switch {
	case analyzer:
		return layer + 1
	case slow:
		return layer + 2
	}
	return layer
}
