-- Whoever has the public key can state any userId: without a proof it is a claim, and the
-- session is the device's own.
ALTER TABLE sessions
    ADD COLUMN IF NOT EXISTS `claimed_user` String COMMENT 'userId that the device stated without a proof, empty: none; the session is the device''s alone' AFTER `network`;

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW sessions_now AS
SELECT * FROM
(
    SELECT * FROM sessions
    ORDER BY site, device, epoch, start, version DESC
    LIMIT 1 BY site, device, epoch, start
)
WHERE deleted = 0
COMMENT 'Sessions: the newest version of each, without tombstones';
