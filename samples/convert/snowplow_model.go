package convert

import "time"

// Snowplow's limits: the defaults of dbt-snowplow-web for days_late_allowed
// and max_session_days.
const (
	maxLate    = 3 * 24 * time.Hour
	maxSession = 3 * 24 * time.Hour
)

// admit leaves what Snowplow's web model counts, so that its published page
// views, sessions and users can be compared with ours:
//
//   - an event belongs to a tracker session: one without a session id is left out;
//   - an event that the device sent more than 3 days after creating it is too late;
//   - a session ends 3 days after its first event was collected, whatever follows;
//   - a page view or ping without a page_view_id is none;
//   - a session without any page view or ping is none (here: the visitors who
//     only answered a consent banner);
//   - a session has one user, the one that its first event states.
//
// What is left in this data is 45 page views, two of them twice: 43.
func admit(rows []*atomic) (out []*atomic) {
	start, user := map[string]time.Time{}, map[string]string{}
	for _, r := range rows {
		if s, ok := start[r.session]; !ok || r.collected.Before(s) {
			start[r.session], user[r.session] = r.collected, r.user
		}
	}
	paged := map[string]bool{}
	for _, r := range rows {
		if r.session == "" || r.sent.Sub(r.created) > maxLate || r.collected.Sub(start[r.session]) > maxSession {
			continue
		}
		if page := r.name == "page_view" || r.name == "page_ping"; page && r.view == "" {
			continue
		} else if page {
			paged[r.session] = true
		}
		r.user = user[r.session]
		out = append(out, r)
	}
	kept := out[:0]
	for _, r := range out {
		if paged[r.session] {
			kept = append(kept, r)
		}
	}
	return kept
}
