-- Records of a device in two partitions, and records that a stage cannot take, are raised once an
-- hour in which there are any, and nothing clears them: they are of the past.
CREATE OR REPLACE VIEW alerts_now AS
SELECT * FROM
(
    SELECT * FROM alerts
    WHERE kind NOT IN ('person_devices', 'device_persons')
    ORDER BY site, kind, subject, at DESC, state, version DESC
    LIMIT 1 BY site, kind, subject
)
WHERE state = 'raised' AND (kind NOT IN ('stray', 'poison') OR at > now64() - INTERVAL 1 DAY)
COMMENT 'Alerts that are raised and not cleared, of strays and poison those of the last day; of one moment, cleared wins';

ALTER TABLE alerts COMMENT COLUMN `kind` 'stale_segment, signal_weight, refresh_latency, watermark_lag, sink_lag, dead_letters, person_devices, device_persons, stray or poison';

ALTER TABLE dead_letters COMMENT COLUMN `reason` 'malformed, oversized, future, late, identity, no_consent, stray (in another partition than its device) or poison (a stage cannot take it)';
