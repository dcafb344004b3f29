-- While this is held, retention removes none of these queues' completed tasks.
INSERT INTO {schema}.retention (queue)
SELECT u.no FROM unnest($1::int[]) AS u (no) GROUP BY u.no ORDER BY u.no
ON CONFLICT (queue) DO UPDATE SET queue = excluded.queue
