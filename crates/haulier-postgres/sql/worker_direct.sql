-- Whoever was silent for too long and holds nothing was never heard of, swept away or not.
UPDATE {schema}.worker w
SET news = w.news OR w.directive <> $2::smallint, directive = $2::smallint
FROM {schema}.now now
WHERE w.id = ANY ($1::text[])
  AND (w.heard_at > now.leases - $3::bigint
       OR EXISTS (SELECT FROM {schema}.lease l WHERE l.worker = w.id))
RETURNING w.id
