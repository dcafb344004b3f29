SELECT c.queue, c.first, c.ids FROM {schema}.completion c
WHERE c.gone_at <= $1::bigint AND c.gone_at >= $3::bigint
ORDER BY c.gone_at LIMIT $2::bigint
FOR UPDATE OF c SKIP LOCKED
