-- Why a node of the tree is served or not, in words, and which nodes need no audience: those
-- are served from their first member on, before any minute was decided.
ALTER TABLE audience
    ADD COLUMN IF NOT EXISTS `exempt` UInt8 COMMENT '1: served whatever its audience' AFTER `active`,
    ADD COLUMN IF NOT EXISTS `why` String COMMENT 'why the node is served or not, in words; empty: an older job did not say' AFTER `exempt`;

ALTER TABLE segment_state
    ADD COLUMN IF NOT EXISTS `bot` UInt8 COMMENT '1: a crawler, which counts in no audience' AFTER `transitions`;

-- A view has the columns that its table had when it was made.
CREATE OR REPLACE VIEW audience_once AS
SELECT * FROM audience
ORDER BY site, path, minute, version DESC
LIMIT 1 BY site, path, minute
COMMENT 'Audience per node and minute, each once';

CREATE OR REPLACE VIEW persons_now AS
SELECT * FROM
(
    SELECT * FROM segment_state
    ORDER BY site, person, version DESC
    LIMIT 1 BY site, person
)
WHERE deleted = 0
COMMENT 'Persons: the newest state of each, without tombstones';

CREATE TABLE IF NOT EXISTS segment_nodes
(
    `site`      LowCardinality(String) COMMENT 'site id',
    `position`  UInt16 COMMENT 'place in the tree: nodes are numbered parents first, in the order in which they are tried',
    `path`      String COMMENT 'node of the segment tree',
    `title`     String COMMENT 'title, for people',
    `condition` String COMMENT 'what must hold, beside the conditions above it; CEL',
    `exempt`    UInt8 COMMENT '1: served whatever its audience',
    `why`       String COMMENT 'why it is served or not before an audience was decided, in words',
    `activate`  Float64 COMMENT 'share of the active persons that activates it; 0 to 1',
    `min_sample` UInt32 COMMENT 'active persons of the site below which nothing changes; count',
    `version`   UInt64 COMMENT 'when the job that has this tree was started; wall clock, ms'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (`site`, `version`, `position`)
COMMENT 'The segment trees of the jobs, as configured';

CREATE VIEW IF NOT EXISTS segment_nodes_now AS
SELECT DISTINCT * FROM segment_nodes
WHERE (site, version) IN (SELECT site, max(version) FROM segment_nodes GROUP BY site)
COMMENT 'The segment tree of each site, as the newest job has it';

CREATE OR REPLACE VIEW activation_now AS
SELECT site, path, minute, members, total, share, active, exempt, why, stale_share, signal_weight, stale
FROM audience_once
ORDER BY site, path, minute DESC
LIMIT 1 BY site, path
COMMENT 'The newest audience row of each node: its share, whether it is served, and why';

CREATE VIEW IF NOT EXISTS verdicts_now AS
SELECT site, path, active, exempt, why FROM
(
    SELECT site, path, active, exempt, why, 1 AS weight FROM activation_now
    UNION ALL
    -- What the configuration says holds before a minute was decided, and an exemption always.
    SELECT site, path, exempt AS active, exempt, why, if(exempt = 1, 2, 0) AS weight FROM segment_nodes_now
)
ORDER BY site, path, weight DESC
LIMIT 1 BY site, path
COMMENT 'Each node: active (1: served), exempt (1: whatever its audience) and why, in words';

CREATE OR REPLACE VIEW activation_changes AS
SELECT site, path, minute AS at, active FROM
(
    SELECT site, path, minute, active,
        lagInFrame(active, 1, exempt) OVER (PARTITION BY site, path ORDER BY minute ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM audience_once
)
WHERE active != before
COMMENT 'When nodes became active (1) or inactive (0); a node begins inactive, an exempt one active';

CREATE VIEW IF NOT EXISTS active_at_first AS
SELECT site, path FROM
(
    SELECT site, path, argMin(exempt, minute) AS exempt FROM audience_once GROUP BY site, path
)
WHERE exempt = 1
UNION ALL
SELECT site, path FROM segment_nodes_now WHERE exempt = 1 AND (site, path) NOT IN (SELECT site, path FROM audience)
COMMENT 'Nodes that were served before anything was decided of an audience';

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

CREATE OR REPLACE VIEW served_changes AS
SELECT site, person, at, kind, cause, from_path, to_path, from_served, to_served FROM
(
    SELECT m.site AS site, m.person AS person, m.at AS at, m.kind AS kind, m.cause AS cause, m.from_path AS from_path, m.to_path AS to_path,
        arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', m.from_path), 1, i), '/'), arrayEnumerate(splitByChar('/', m.from_path))) AS from_nodes,
        arrayMap(i -> arrayStringConcat(arraySlice(splitByChar('/', m.to_path), 1, i), '/'), arrayEnumerate(splitByChar('/', m.to_path))) AS to_nodes,
        arrayFilter(c -> c.1 < m.at OR (m.kind = 'membership' AND c.1 = m.at), a.changes) AS changes_before,
        arrayFilter(c -> c.1 <= m.at, a.changes) AS changes_after,
        arrayLast(n -> arrayLast(c -> c.2 = n, changes_before).3 = 1, from_nodes) AS from_deepest,
        arrayLast(n -> arrayLast(c -> c.2 = n, changes_after).3 = 1, to_nodes) AS to_deepest,
        if(empty(from_deepest), from_nodes[1], from_deepest) AS from_served,
        if(empty(to_deepest), to_nodes[1], to_deepest) AS to_served
    FROM
    (
        SELECT site, person, since AS at, 'membership' AS kind, why AS cause, left_path AS from_path, path AS to_path
        FROM path_changes
        UNION ALL
        SELECT p.site AS site, p.person AS person, toDateTime64(f.at, 3, 'UTC') AS at, 'activation' AS kind, 'activation' AS cause, p.path AS from_path, p.path AS to_path
        FROM path_intervals AS p
        INNER JOIN (SELECT DISTINCT site, at FROM activation_changes) AS f ON p.site = f.site
        WHERE p.since < f.at AND (p.until IS NULL OR p.until >= f.at)
    ) AS m
    LEFT JOIN
    (
        SELECT site, arraySort(groupArray((since, path, active))) AS changes FROM
        (
            SELECT site, toDateTime64(at, 3, 'UTC') AS since, path, active FROM activation_changes
            UNION ALL
            SELECT site, toDateTime64(0, 3, 'UTC') AS since, path, toUInt8(1) AS active FROM active_at_first
        )
        GROUP BY site
    ) AS a ON m.site = a.site
)
WHERE from_served != to_served
COMMENT 'Served before and after: every change of the served segment, by a change of path (kind membership) or of a node''s activation (kind activation)';
