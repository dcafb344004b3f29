SELECT t.id, t.queue FROM {schema}.task t
WHERE t.expires_at <= $1::bigint ORDER BY t.expires_at LIMIT $2::bigint
