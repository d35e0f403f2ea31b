package event

import "strconv"

// meaning is what an event name says: the kind, and the page type that it
// implies where nothing better states one.
type meaning struct {
	kind Kind
	page PageType
}

// names are the event names that have a kind of their own: Segment's common
// names, its video spec and its e-commerce spec v2, and microseg's own
// behavioural events. Names are compared exactly, as Segment does.
//
// "Video Playback Resumed" and the other states of a player, "Video Content Playing"
// (a heartbeat) and the events of ads have none: they neither start nor end a play.
var names = map[string]meaning{
	"page":        {KindPage, PageUnknown},
	"screen":      {KindPage, PageUnknown},
	"identify":    {KindIdentify, PageUnknown},
	"Page Pinged": {KindPing, PageUnknown},

	"Click":             {KindClick, PageUnknown},
	"Clicked":           {KindClick, PageUnknown},
	"Element Clicked":   {KindClick, PageUnknown},
	"Link Clicked":      {KindClick, PageUnknown},
	"Button Clicked":    {KindClick, PageUnknown},
	"CTA Clicked":       {KindClick, PageUnknown},
	"Banner Clicked":    {KindClick, PageUnknown},
	"Product Clicked":   {KindClick, PageUnknown},
	"Promotion Clicked": {KindClick, PageUnknown},

	"Page Scrolled":   {KindScroll, PageUnknown},
	"Element Hovered": {KindHover, PageUnknown},
	"Element Focused": {KindFocus, PageUnknown},

	"Video Started":              {KindVideoStart, PageUnknown},
	"Video Playback Started":     {KindVideoStart, PageUnknown},
	"Video Content Started":      {KindVideoStart, PageUnknown},
	"Video Paused":               {KindVideoPause, PageUnknown},
	"Video Playback Paused":      {KindVideoPause, PageUnknown},
	"Video Playback Interrupted": {KindVideoPause, PageUnknown},
	"Video Playback Exited":      {KindVideoPause, PageUnknown},
	"Video Completed":            {KindVideoComplete, PageUnknown},
	"Video Playback Completed":   {KindVideoComplete, PageUnknown},
	"Video Content Completed":    {KindVideoComplete, PageUnknown},

	"Form Started":   {KindFormStart, PageUnknown},
	"Form Submitted": {KindFormSubmit, PageUnknown},

	"Product Viewed":          {KindProductView, PageProduct},
	"Product List Viewed":     {KindListView, PageList},
	"Product List Filtered":   {KindListView, PageList},
	"Products Searched":       {KindListView, PageSearch},
	"Product Added":           {KindCartAdd, PageUnknown},
	"Product Removed":         {KindCartRemove, PageUnknown},
	"Cart Viewed":             {KindCartView, PageCart},
	"Checkout Started":        {KindCheckout, PageCheckout},
	"Checkout Step Viewed":    {KindCheckout, PageCheckout},
	"Checkout Step Completed": {KindCheckout, PageCheckout},
	"Payment Info Entered":    {KindCheckout, PageCheckout},
	"Cart Cleared":            {KindCartClear, PageUnknown},
	"Cart Emptied":            {KindCartClear, PageUnknown},
	"Order Completed":         {KindOrder, PageConfirmation},
	"Order Refunded":          {KindRefund, PageUnknown},
	"Order Cancelled":         {KindRefund, PageUnknown},
}

// content are the events of parts of a video: what is played between two ads.
var content = map[string]bool{"Video Content Started": true, "Video Content Completed": true}

// otherNames are the names of Segment's first e-commerce specification, which many shops'
// plugins still send, and of Google Analytics 4. Where the configuration mentions one of
// them it is a custom event, as it was before they were known.
var otherNames = map[string]string{
	"Viewed Product": "Product Viewed", "Viewed Product Category": "Product List Viewed", "Added Product": "Product Added",
	"Removed Product": "Product Removed", "Viewed Cart": "Cart Viewed", "Started Checkout": "Checkout Started", "Completed Order": "Order Completed",
	"view_item": "Product Viewed", "view_item_list": "Product List Viewed", "select_item": "Product Clicked",
	"add_to_cart": "Product Added", "remove_from_cart": "Product Removed", "view_cart": "Cart Viewed", "begin_checkout": "Checkout Started",
	"add_shipping_info": "Checkout Step Completed", "add_payment_info": "Payment Info Entered", "purchase": "Order Completed", "refund": "Order Refunded",
}

// KindOf is the kind of an event name ("Page Scrolled", or "page", "screen"
// and "identify" for those calls). Names that have none are not ok: a signal
// that mentions one needs it in Config.Custom.
func KindOf(name string) (Kind, bool) {
	m, ok := names[name]
	return m.kind, ok
}

var kindNames = [numKinds]string{"other", "page", "ping", "click", "scroll", "hover", "focus", "video_start",
	"video_pause", "video_complete", "form_start", "form_submit", "product_view", "list_view", "cart_add",
	"cart_remove", "cart_view", "checkout", "order", "identify", "delete", "erased", "unlink",
	"reset", "alias", "rebuild", "cart_clear", "refund"}

// String names the kind; custom kinds are "custom0" and so on.
func (k Kind) String() string {
	switch {
	case k < numKinds:
		return kindNames[k]
	case k >= FirstCustom:
		return "custom" + strconv.Itoa(int(k-FirstCustom))
	}
	return "kind" + strconv.Itoa(int(k))
}
