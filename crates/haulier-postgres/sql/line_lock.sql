-- While this is held, nobody else takes an available task out of these queues' lines.
SELECT pg_advisory_xact_lock(hashtext('{schema}'), q.no)
FROM (SELECT u.no FROM unnest($1::int[]) AS u (no) ORDER BY u.no) q
