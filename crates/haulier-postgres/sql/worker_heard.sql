-- Nobody minds if a sign of life is lost with the machine, so nobody waits for the disk either.
INSERT INTO {schema}.worker AS w (id, heard_at)
SELECT given.id, now.leases
FROM {schema}.now now, set_config('synchronous_commit', 'off', true), unnest($1::text[]) AS given (id)
ORDER BY given.id
ON CONFLICT (id) DO UPDATE SET heard_at = greatest(w.heard_at, excluded.heard_at)
RETURNING w.id, w.xmax = 0 AS is_new
