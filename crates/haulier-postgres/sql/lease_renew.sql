UPDATE {schema}.lease l SET
    ttl = given.ttl, place = given.fresh,
    deadline = least(given.leases + given.ttl, l.ends, coalesce(l.stops, l.ends))
FROM (
    SELECT u.*, now.leases, nextval('{schema}.place') AS fresh
    FROM (SELECT leases FROM {schema}.now) now,
         unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS u (id, epoch, ttl)
) given
WHERE l.id = ANY (ARRAY[given.id]) AND l.epoch = given.epoch
  AND given.leases < least(l.ends, coalesce(l.stops, l.ends))
RETURNING l.id, l.epoch, l.stops IS NOT NULL AS stops
