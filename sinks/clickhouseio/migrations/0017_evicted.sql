-- How many devices a job keeps is bounded; who is let go leaves its segments.
ALTER TABLE segment_events COMMENT COLUMN `cause` 'event, time, link, unlink, stale, retention, erased, replay or evicted: let go, as there were too many devices';
