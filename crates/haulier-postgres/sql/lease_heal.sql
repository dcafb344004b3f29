-- A lease that somebody is settling is left alone.
UPDATE {schema}.lease l SET
    deadline = $1::bigint + l.ttl,
    stops = CASE WHEN l.stops IS NOT NULL THEN $1::bigint + l.ttl + $2::bigint END
WHERE l.id IN (SELECT id FROM {schema}.lease ORDER BY id FOR UPDATE SKIP LOCKED)
