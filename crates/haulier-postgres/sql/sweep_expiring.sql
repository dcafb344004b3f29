SELECT t.id, t.queue FROM {schema}.task t
WHERE t.expires_at <= $1::bigint AND t.expires_at >= $3::bigint
ORDER BY t.expires_at LIMIT $2::bigint
