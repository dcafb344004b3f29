SELECT r.queue, r.gone_below, q.retain_completed, q.retain_count
FROM {schema}.retention r JOIN {schema}.queue q ON q.no = r.queue
WHERE r.look_at <= $1::bigint ORDER BY r.look_at LIMIT $2::bigint
FOR UPDATE OF r SKIP LOCKED
