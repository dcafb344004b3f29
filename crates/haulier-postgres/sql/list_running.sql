SELECT t.id, t.enqueued_at, q.name AS queue_name, t.kind, t.state, t.reason, t.labels,
       true AS running,
       t.state = 4 AND t.line IS NOT NULL AND t.finish < coalesce(k.gone_below, 0) AS gone
FROM (
    -- They are few, but only if they are where it begins: OFFSET keeps it from walking by age.
    SELECT i.* FROM {schema}.lease h
    CROSS JOIN LATERAL (
        SELECT * FROM {schema}.task t WHERE t.id = ANY (ARRAY[h.id]) OFFSET 0
    ) i
    WHERE (i.enqueued_at, i.id) < ($1::bigint, $2::uuid) AND i.enqueued_at >= $3::bigint
    ORDER BY i.enqueued_at DESC, i.id DESC LIMIT $4::bigint
) t
JOIN {schema}.queue q ON q.no = t.queue
LEFT JOIN {schema}.retention k ON k.queue = t.queue
ORDER BY t.enqueued_at DESC, t.id DESC
