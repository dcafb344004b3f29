-- Pauses that are over. Somebody who changes such a task decides about it.
SELECT t.id, t.wake_at AS at, t.place FROM {schema}.task t
WHERE t.wake_at <= $1::bigint AND t.wake_at >= $3::bigint
ORDER BY t.wake_at, t.place LIMIT $2::bigint
FOR UPDATE OF t SKIP LOCKED
