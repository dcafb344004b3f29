-- As many batches as have so many ids, and one at least. What a batch takes up says how many ids it
-- has, sixteen bytes each, without reading them.
SELECT c.queue, c.first, c.ids
FROM (
    SELECT s.queue, s.first, s.gone_at, sum(s.bytes) OVER so_far - s.bytes AS before
    FROM (
        SELECT g.queue, g.first, g.gone_at, pg_column_size(g.ids) AS bytes
        FROM {schema}.completion g
        WHERE g.gone_at <= $1::bigint AND g.gone_at >= $3::bigint
        ORDER BY g.gone_at LIMIT $2::bigint
    ) s
    WINDOW so_far AS (ORDER BY s.gone_at ROWS UNBOUNDED PRECEDING)
) b
CROSS JOIN LATERAL (
    SELECT o.queue, o.first, o.ids FROM {schema}.completion o
    WHERE o.queue = b.queue AND o.first = b.first
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) c
WHERE b.before < $2::bigint * 16
ORDER BY b.gone_at
