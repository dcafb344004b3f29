-- What a worker leaves out is known already. A beat brings all news.
INSERT INTO {schema}.worker AS w (id, heard_at, version, queues, kinds, slots)
SELECT given.id, now.leases, given.version, string_to_array(given.queues, ','),
       string_to_array(given.kinds, ','), given.slots
FROM {schema}.now now,
     unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
         AS given (id, version, queues, kinds, slots)
ORDER BY given.id
ON CONFLICT (id) DO UPDATE SET
    heard_at = greatest(w.heard_at, excluded.heard_at),
    news = false,
    version = coalesce(excluded.version, w.version),
    queues = CASE WHEN excluded.version IS NULL THEN w.queues ELSE excluded.queues END,
    kinds = CASE WHEN excluded.version IS NULL THEN w.kinds ELSE excluded.kinds END,
    slots = CASE WHEN excluded.version IS NULL THEN w.slots ELSE excluded.slots END
RETURNING w.id, w.directive, w.xmax = 0 AS is_new
