package rows

// Alert is one raising or clearing of an alert.
type Alert struct {
	Site      string  // site id
	Kind      string  // stale_segment, signal_weight, refresh_latency, watermark_lag, sink_lag, dead_letters
	Subject   string  // segment path, shard or ""
	At        int64   // event time for what is about behaviour, wall clock for what is about the job, ms
	State     string  // Raised or Cleared
	Value     float64 // in the kind's unit
	Threshold float64 // in the kind's unit
	Message   string  // for people
	Version   uint64
}

var alertColumns = []column[Alert]{
	str("site", func(r *Alert) string { return r.Site }),
	str("kind", func(r *Alert) string { return r.Kind }),
	str("subject", func(r *Alert) string { return r.Subject }),
	timeMS("at", func(r *Alert) int64 { return r.At }),
	str("state", func(r *Alert) string { return r.State }),
	f64("value", func(r *Alert) float64 { return r.Value }),
	f64("threshold", func(r *Alert) float64 { return r.Threshold }),
	str("message", func(r *Alert) string { return r.Message }),
	u64("version", func(r *Alert) uint64 { return r.Version }),
}

// NewAlertBuilder returns an empty builder of alerts.
func NewAlertBuilder() *Builder[Alert] { return newBuilder(TableAlerts, alertColumns) }

// States of an Alert.
const (
	Raised  = "raised"
	Cleared = "cleared"
)

// Kinds of an Alert.
const (
	AlertStaleSegment   = "stale_segment"
	AlertSignalWeight   = "signal_weight"
	AlertRefreshLatency = "refresh_latency"
	AlertWatermarkLag   = "watermark_lag"
	AlertSinkLag        = "sink_lag"
	AlertDeadLetters    = "dead_letters"
	AlertIngestBudget   = "ingest_budget"
	AlertComputeBudget  = "compute_budget"
	AlertDeliverBudget  = "deliver_budget"
	AlertWholeBudget    = "whole_budget"
	AlertPersonDevices  = "person_devices"    // a person with more devices than may be
	AlertBusy           = "busy"              // a batch has been under way for long
	AlertUnread         = "unread_partitions" // the topic has got partitions since the job was started
	AlertDevicePersons  = "device_persons"    // a device with more persons in a day than may be
	AlertStray          = "stray"             // records in a partition in which their device is not
	AlertAudienceJump   = "audience_jump"     // many times as many active visitors within minutes
	AlertPoison         = "poison"            // records that a stage cannot take
)
