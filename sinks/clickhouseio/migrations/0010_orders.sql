-- Orders are facts of a person: those that came too late for a session are in no row of
-- sessions, and in these.
ALTER TABLE segment_state
    ADD COLUMN IF NOT EXISTS `orders` UInt32 COMMENT 'orders that are known of the person, with those that came too late for a session; count' AFTER `cart_value`,
    ADD COLUMN IF NOT EXISTS `revenue` Float64 COMMENT 'value of these orders; currency of the site' AFTER `orders`,
    ADD COLUMN IF NOT EXISTS `refunded` Float64 COMMENT 'what was paid back of them; currency of the site' AFTER `revenue`;

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW persons_now AS
SELECT * FROM
(
    SELECT * FROM segment_state
    ORDER BY site, person, version DESC
    LIMIT 1 BY site, person
)
WHERE deleted = 0
COMMENT 'Persons: the newest state of each, without tombstones';

CREATE OR REPLACE VIEW segments_now AS
SELECT p.*,
    if(empty(arrayLast(n -> has(a.active, n), p.nodes)), p.nodes[1], arrayLast(n -> has(a.active, n), p.nodes)) AS served,
    arrayFirst(w -> w.1 = p.path, a.why).2 AS verdict,
    multiIf(served = p.path, '', p.bot = 1, 'bot: in no audience', verdict = '', 'no audience decided yet', verdict) AS not_served
FROM
(
    SELECT *, arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', path), 1, i), '/'), arrayEnumerate(splitByChar('/', path))) AS nodes
    FROM persons_now
) AS p
LEFT JOIN
(
    SELECT site, groupArrayIf(path, active = 1) AS active, groupArray(tuple(path, why)) AS why FROM verdicts_now GROUP BY site
) AS a ON p.site = a.site
COMMENT 'Persons with their path, its nodes from the root, the served segment (the deepest active node on the path, at least the root), the verdict on the end of the path, and in not_served why that is not served (empty: it is)';
