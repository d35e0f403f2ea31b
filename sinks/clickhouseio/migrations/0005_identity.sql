-- Persons and devices beyond the limits of identity are findings about visitors, not about the
-- job: they have a view of their own and are never cleared.
CREATE OR REPLACE VIEW alerts_now AS
SELECT * FROM
(
    SELECT * FROM alerts
    WHERE kind NOT IN ('person_devices', 'device_persons')
    ORDER BY site, kind, subject, at DESC, state, version DESC
    LIMIT 1 BY site, kind, subject
)
WHERE state = 'raised'
COMMENT 'Alerts that are raised and not cleared; of one moment, cleared wins';

CREATE VIEW IF NOT EXISTS identity_limits AS
SELECT site, kind, subject, min(at) AS since, max(at) AS last, uniqExact(at) AS days,
    toUInt64(argMax(value, tuple(at, version))) AS count, toUInt64(argMax(threshold, tuple(at, version))) AS threshold
FROM alerts
WHERE kind IN ('person_devices', 'device_persons')
GROUP BY site, kind, subject
COMMENT 'Persons with more devices (person_devices) and devices with more persons in a day (device_persons) than are merged: since and last (first and last day, event time, UTC), days on which it happened, count (devices or persons on the last day, those within the limit included) and threshold (the limit then)';

ALTER TABLE alerts COMMENT COLUMN `kind` 'stale_segment, signal_weight, refresh_latency, watermark_lag, sink_lag, dead_letters, person_devices or device_persons';

ALTER TABLE alerts COMMENT COLUMN `subject` 'what it is about: a segment path, a shard, a person (u:…) or a device (d:…); empty: the site';

ALTER TABLE dead_letters COMMENT COLUMN `reason` 'malformed, oversized, future, late, identity or no_consent';
