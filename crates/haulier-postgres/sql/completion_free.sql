-- Unique keys whose window is over no longer keep their tasks.
UPDATE {schema}.completion c SET held_until = NULL
WHERE (c.queue, c.first) IN (
    SELECT h.queue, h.first FROM {schema}.completion h
    WHERE h.held_until <= $1::bigint ORDER BY h.held_until LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
)
RETURNING c.queue
