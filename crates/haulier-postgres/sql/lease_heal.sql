-- A lease that somebody is settling is left alone.
UPDATE {schema}.lease l SET
    deadline = $1::bigint + l.ttl,
    ends = $1::bigint + $2::bigint + coalesce(t.timeout, 1800000),
    stops = CASE WHEN l.stops IS NOT NULL THEN $1::bigint + l.ttl + $2::bigint END
FROM {schema}.task t
WHERE t.id = ANY (ARRAY[l.id])
  AND l.id IN (SELECT id FROM {schema}.lease ORDER BY id FOR UPDATE SKIP LOCKED)
