-- Finished tasks that were kept for long enough, and ids that were known for long enough.
SELECT t.id, t.queue, t.state, t.finish FROM {schema}.task t
WHERE t.kept_until <= $1::bigint AND t.kept_until >= $3::bigint
ORDER BY t.kept_until LIMIT $2::bigint
FOR UPDATE OF t SKIP LOCKED
