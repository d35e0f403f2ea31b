// Package event turns Segment-spec JSON into the narrow events that the
// pipeline reasons about, and says why an event cannot be accepted.
//
// It is pure: no Beam, no I/O, no clock. "Now" is always an argument.
package event

// Event is one accepted-for-decoding clickstream event, reduced to what the
// algebra reads. Times are milliseconds since the Unix epoch, UTC.
//
// X, Y and Z carry the measurement of the kind (zero where not stated):
//
//	kind            X                 Y               Z
//	KindScroll      depth 0..1        velocity px/s   seconds to half depth
//	KindHover       duration ms
//	KindFocus       duration ms
//	KindPing        seconds visible since the last ping (0: not stated)
//	KindProductView price
//	KindCartAdd     price             quantity, 1 when not stated; what is negative is taken out
//	KindCartRemove  price             quantity, 1 when not stated; its sign says nothing
//	KindCartView    cart value        items (FlagCart: stated)
//	KindCheckout    cart value        items (FlagCart: stated)
//	KindOrder       order value
//	KindRefund      value given back
//	KindVideo*      position s
type Event struct {
	Device     string // anonymousId, the partition key; "user:<id>" for events that state only a userId
	User       string // userId, empty when not stated
	Time       int64  // event time, corrected for client clock skew
	Offset     int64  // Kafka offset
	Partition  int32  // Kafka partition
	ID         uint64 // hash of messageId, of the whole record when that is not stated
	Page       uint64 // hash of the page's path (or of the screen's name, or of the viewed product), 0 when not stated
	Item       uint64 // hash of the product id (of the play's session_id for KindVideo*), 0 when not stated
	X, Y, Z    float64
	Append     int64 // time of the append to the log (record timestamp)
	Receipt    int64 // when a collector received it (receivedAt, which no payload that it takes sets); 0: not stated, as in files
	Ingest     int64 // append minus sentAt in ms; -1 when not known (recorded events)
	Width      uint16
	Height     uint16
	Kind       Kind
	PageType   PageType
	Element    uint8 // 1-based index into Config.Elements, 0 for none or unlisted
	DeviceType DeviceType
	OS         OS
	Network    Network
	Flags      Flags
	Trust      Trust // of who sent it
	// Of a copy (source.rekey): the record's partition in the topic that it is of, and
	// its offset there; HasOrigin says that it is one.
	HasOrigin       bool
	OriginPartition int32
	OriginOffset    int64
	// Raw is the (truncated) record when the source already suspects that the
	// event is late; nil otherwise. Only dead letters read it.
	Raw []byte
}

// DeviceHash tells devices apart where nobody may be named, the same in every process.
func (e *Event) DeviceHash() uint64 {
	if e.Kind == KindErased && e.Device == "" {
		return e.ID
	}
	return hash([]byte(e.Device))
}

// Kind is what happened. Kinds from FirstCustom on are the event names that
// the configuration's signals mention, in the order of Config.Custom.
type Kind uint8

// The kinds that the algebra knows. The order is part of the wire format.
const (
	KindOther Kind = iota
	KindPage
	KindPing
	KindClick
	KindScroll
	KindHover
	KindFocus
	KindVideoStart
	KindVideoPause
	KindVideoComplete
	KindFormStart
	KindFormSubmit
	KindProductView
	KindListView
	KindCartAdd
	KindCartRemove
	KindCartView
	KindCheckout
	KindOrder
	KindIdentify
	// KindDelete is a tombstone (Deleted). It has Device, User, ID and Append.
	KindDelete
	// KindErased stands for a record of a device that was deleted later in the log.
	// It has Time, Append, Receipt and where it is, and says nothing of whom it was but
	// the hash of the device, as ID.
	KindErased
	// KindUnlink takes the device from a user (Unlinked). It has Device, User, ID
	// and Append.
	KindUnlink
	// KindReset is a log-out: what the device does from here on is nobody's yet.
	// It has Device, ID and Append.
	KindReset
	// KindAlias says that the anonymous visitor Device is User.
	KindAlias
	// KindRebuild tells to make the device anew from the log (Rebuild). It has
	// Device, ID and Append, and its payload is Raw.
	KindRebuild
	// KindCartClear says that the cart is empty.
	KindCartClear
	// KindRefund says that an order was cancelled, or paid back in part.
	KindRefund
	// KindDisclaim takes a user's name from a device that was never proven to be the
	// user's (Disclaimed). It has Device, User, ID and Append.
	KindDisclaim
	// KindDeleteUser deletes a user's epochs of a device (DeletedUser). It has Device,
	// User, ID and Append.
	KindDeleteUser
	numKinds
)

// Control reports whether the record is no behaviour: it has no event time and
// is in no profile.
func (k Kind) Control() bool {
	return k >= KindDelete && k <= KindReset || k == KindRebuild || k == KindDisclaim || k == KindDeleteUser
}

// FirstCustom is the kind of Config.Custom[0].
const FirstCustom Kind = 64

// PageType is the role of a page in the shop.
type PageType uint8

// Page types; the order is part of the wire format.
const (
	PageUnknown PageType = iota
	PageHome
	PageList
	PageSearch
	PageProduct
	PageComparison
	PageCart
	PageCheckout
	PageConfirmation
	PageContent
	PageOther
	NumPageTypes
)

// PageTypes names the page types as configuration, CEL and ClickHouse do.
var PageTypes = [NumPageTypes]string{"unknown", "home", "list", "search", "product", "comparison",
	"cart", "checkout", "confirmation", "content", "other"}

// DeviceType is the form of the device.
type DeviceType uint8

// Device types; the order is part of the wire format.
const (
	DeviceUnknown DeviceType = iota
	DeviceDesktop
	DeviceMobile
	DeviceTablet
	DeviceTV
	DeviceBot
	NumDeviceTypes
)

// DeviceTypes names the device types.
var DeviceTypes = [NumDeviceTypes]string{"unknown", "desktop", "mobile", "tablet", "tv", "bot"}

// OS is the operating system.
type OS uint8

// Operating systems; the order is part of the wire format.
const (
	OSUnknown OS = iota
	OSWindows
	OSMac
	OSLinux
	OSAndroid
	OSiOS
	OSChrome
	OSOther
	NumOS
)

// OSes names the operating systems.
var OSes = [NumOS]string{"unknown", "windows", "macos", "linux", "android", "ios", "chromeos", "other"}

// Network is the speed class of the connection.
type Network uint8

// Networks; the order is part of the wire format.
const (
	NetworkUnknown Network = iota
	NetworkOffline
	NetworkSlow2G
	Network2G
	Network3G
	Network4G
	Network5G
	NetworkWifi
	NetworkEthernet
	NetworkCellular // a phone's, of unknown speed
	NumNetworks
)

// Networks names the network classes.
var Networks = [NumNetworks]string{"unknown", "offline", "slow-2g", "2g", "3g", "4g", "5g", "wifi", "ethernet", "cellular"}

// Flags are yes/no facts about an event. The highest bit is package session's own.
type Flags uint8

const (
	// FlagHighTicket: the product is in one of Config.HighTicketCategories and costs Config.HighTicketMinPrice or more; the list shows such products.
	FlagHighTicket Flags = 1 << iota
	// FlagBot: the user agent is on the list of crawlers, or the device says that it is one.
	FlagBot
	// FlagVisible: a heartbeat that says the page is visible.
	FlagVisible
	// FlagCart: the event lists all that is in the cart, which may be nothing.
	FlagCart
	// FlagPriced: X is stated; of a cart that it is the value of all of it.
	FlagPriced
	// FlagContent: the event is of a part of a video (Segment's Video Content
	// Started and Completed), not of the play as a whole.
	FlagContent
	// FlagPassive: nobody visits by it. It says so (context.active), or it is what a
	// server states of somebody: an identify, a group, an alias.
	FlagPassive
)

// Reason says why an event is a dead letter. The values are those of the
// column dead_letters.reason.
type Reason string

// Reasons in the order in which they are judged.
const (
	Oversized Reason = "oversized"
	NoConsent Reason = "no_consent"
	Malformed Reason = "malformed"
	Future    Reason = "future"
	Stray     Reason = "stray"  // in another partition than its device
	Poison    Reason = "poison" // a stage cannot take it: a fault of this program
	Late      Reason = "late"
	// TooMany: older than what its device has folded early, having had too many events
	// or epochs at once.
	TooMany  Reason = "device_limit"
	Identity Reason = "identity" // an alias that would merge two users, or a userId alone without proof
)
