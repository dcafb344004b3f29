-- There is something to look for in these queues, at once.
INSERT INTO {schema}.retention (queue, look_at)
SELECT DISTINCT u.no, 0 FROM unnest($1::int[]) AS u (no)
ON CONFLICT (queue) DO UPDATE SET look_at = 0
WHERE retention.look_at IS DISTINCT FROM 0
