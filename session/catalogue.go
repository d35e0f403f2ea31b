package session

import "github.com/microseg/microseg/event"

// Merge says how a stored feature of several devices becomes the person's.
type Merge uint8

// The merge rules of design §2, "across devices".
const (
	MergeSum    Merge = iota // add over the open sessions
	MergeMax                 // the largest
	MergeMin                 // the smallest that is not 0
	MergePage                // of the device whose event says something of a page last, while its session is open
	MergeDevice              // of the device whose event says something of itself last; each, of the last that says it
	MergeCart                // of the person's cart, which all devices make together (Together)
)

// Slot is the index of a stored feature in Vector.Values.
type Slot int

// The fixed slots. Behind them come, per configured element, hover.<element>
// and focus.<element>, in the order of the configuration.
const (
	SlotEvents Slot = iota
	SlotPageViews
	SlotClicks
	SlotStart // ms; 0 without an open session
	SlotPageType
	SlotPageDwell
	SlotDwellTotal
	SlotDwellHighTicket
	SlotScrollDepth
	SlotScrollMax
	SlotScrollVelocity
	SlotScrollHalf
	SlotVideoStarts
	SlotVideoCompletes
	SlotVideoDropoffs
	SlotFormStarts
	SlotFormSubmits
	SlotOrders
	SlotDwell0 // dwell per page type: SlotDwell0 + PageType, NumPageTypes slots
)

// Slots after the dwell block. Those from SlotDevice on outlive the session.
const (
	SlotDevice Slot = SlotDwell0 + Slot(event.NumPageTypes) + iota
	SlotOS
	SlotNetwork
	SlotWidth
	SlotHeight
	SlotCartItems
	SlotCartValue
	SlotCartChanged // ms of the last change of the cart; 0 while it is empty
	SlotHover0      // hover.<element>, then focus.<element>
)

// Feature describes one stored feature: its name in CEL and in documents.
type Feature struct {
	Name    string
	Unit    string // "", "s", "px", "1", "count", "currency", "ms since epoch"
	Doc     string
	Merge   Merge
	Session bool     // gone when the session closes
	Enum    []string // names of the codes of an enumeration, nil for numbers
	Max     float64  // upper end of the domain (inclusive), 0 for none; all features are >= 0
	Hidden  bool     // a time that only derived features read
}

// Catalogue lists the stored features for the configured elements, by slot.
func Catalogue(elements []string) []Feature {
	c := []Feature{
		SlotEvents:          {"session.events", "count", "events in the open session", MergeSum, true, nil, 0, false},
		SlotPageViews:       {"session.page_views", "count", "page views in the open session (click depth)", MergeSum, true, nil, 0, false},
		SlotClicks:          {"session.clicks", "count", "clicks in the open session", MergeSum, true, nil, 0, false},
		SlotStart:           {"session.start", "ms since epoch", "start of the open session", MergeMin, true, nil, 0, true},
		SlotPageType:        {"page.type", "", "type of the current page", MergePage, true, event.PageTypes[:], 0, false},
		SlotPageDwell:       {"page.dwell_s", "s", "time spent on the current page", MergePage, true, nil, 0, false},
		SlotDwellTotal:      {"dwell.total", "s", "time spent on pages in the open session", MergeSum, true, nil, 0, false},
		SlotDwellHighTicket: {"dwell.high_ticket", "s", "time spent on high-ticket products, and lists of them, in the open session", MergeSum, true, nil, 0, false},
		SlotScrollDepth:     {"scroll.depth", "1", "deepest scroll of the current page", MergePage, true, nil, 1, false},
		SlotScrollMax:       {"scroll.max_depth", "1", "deepest scroll of the open session", MergeMax, true, nil, 1, false},
		SlotScrollVelocity:  {"scroll.velocity", "px/s", "last scroll velocity; 0 when none was seen", MergePage, true, nil, 0, false},
		SlotScrollHalf:      {"scroll.half_s", "s", "time to half scroll of the current page; 0 when not reached", MergePage, true, nil, 0, false},
		SlotVideoStarts:     {"video.starts", "count", "video starts", MergeSum, true, nil, 0, false},
		SlotVideoCompletes:  {"video.completes", "count", "video completions", MergeSum, true, nil, 0, false},
		SlotVideoDropoffs:   {"video.dropoffs", "count", "videos started and left uncompleted by the next page view or video start", MergeSum, true, nil, 0, false},
		SlotFormStarts:      {"form.starts", "count", "forms started", MergeSum, true, nil, 0, false},
		SlotFormSubmits:     {"form.submits", "count", "forms submitted", MergeSum, true, nil, 0, false},
		SlotOrders:          {"orders", "count", "orders in the open session", MergeSum, true, nil, 0, false},
	}
	for t := range event.NumPageTypes {
		c = append(c, Feature{"dwell." + event.PageTypes[t], "s", "time spent on " + event.PageTypes[t] + " pages in the open session", MergeSum, true, nil, 0, false})
	}
	c = append(c,
		Feature{"device.type", "", "form of the device", MergeDevice, false, event.DeviceTypes[:], 0, false},
		Feature{"device.os", "", "operating system", MergeDevice, false, event.OSes[:], 0, false},
		Feature{"device.network", "", "network speed class", MergeDevice, false, event.Networks[:], 0, false},
		Feature{"screen.width", "px", "screen width", MergeDevice, false, nil, 0, false},
		Feature{"screen.height", "px", "screen height", MergeDevice, false, nil, 0, false},
		Feature{"cart.items", "count", "items in the person's cart, on whichever device; the cart outlives its session until an order", MergeCart, false, nil, 0, false},
		Feature{"cart.value", "currency", "value of the person's cart", MergeCart, false, nil, 0, false},
		Feature{"cart.changed_at", "ms since epoch", "last change of the cart", MergeCart, false, nil, 0, true},
	)
	for _, e := range elements {
		c = append(c, Feature{"hover." + e, "s", "time hovering over " + e + " in the open session", MergeSum, true, nil, 0, false})
	}
	for _, e := range elements {
		c = append(c, Feature{"focus." + e, "s", "time focusing " + e + " in the open session", MergeSum, true, nil, 0, false})
	}
	return append(c,
		Feature{"customer.orders", "count", "orders that are known of the person, with those that came late", MergeSum, false, nil, 0, false},
		Feature{"customer.revenue", "currency", "value of these orders", MergeSum, false, nil, 0, false},
		Feature{"customer.refunded", "currency", "what was paid back of them", MergeSum, false, nil, 0, false})
}

// SlotCustomer is the first of the slots behind those of the elements, for so many
// of these: customer.orders, customer.revenue and customer.refunded.
func SlotCustomer(elements int) Slot { return SlotHover0 + Slot(2*elements) }

// Elements is how many elements a catalogue of so many features is for.
func Elements(features int) int { return (features - int(SlotHover0) - 3) / 2 }
