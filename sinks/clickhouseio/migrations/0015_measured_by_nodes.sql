-- Nodes write what they measure, and each part of an event's way has a budget with an alert.
ALTER TABLE alerts COMMENT COLUMN `kind` 'stale_segment, signal_weight, refresh_latency, watermark_lag, sink_lag, dead_letters, job_silent, ingest_budget, compute_budget, deliver_budget, whole_budget, unread_partitions, person_devices, device_persons, stray or poison';

ALTER TABLE latency COMMENT COLUMN `stage` 'ingest (client to log), queue (log to source), compute (source to decided), refresh (log to decided), record (decided to confirmed in ClickHouse), deliver (decided to a serving node''s memory), whole (client to a serving node''s memory) or respond (request to response of a serving node)';

ALTER TABLE latency COMMENT COLUMN `job` 'id of the run of the job; of the serving node''s run for deliver, whole and respond';
