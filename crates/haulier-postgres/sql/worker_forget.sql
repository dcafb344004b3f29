DELETE FROM {schema}.worker w
USING {schema}.now now
WHERE w.heard_at <= now.leases - $1::bigint
  AND NOT EXISTS (SELECT FROM {schema}.lease l WHERE l.worker = w.id)
