-- Looks through stretches of lines for tasks that are to be had: of each stretch, those, and the last
-- row that was looked at. Nothing of queues whose mutex we do not have: what is seen there may be
-- taken by somebody else. A lease is looked up for tasks that wait only, and row by row: hashing all
-- leases for a few tasks would cost more the more there are.
SELECT s.no, w.id, w.place, w.kind, w.is_free, w.is_last AND w.nth = s.rows AS is_full
FROM (
    SELECT given.line, given.after, given.upto, given.rows, given.no
    FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[])
        WITH ORDINALITY AS given (line, after, upto, rows, no)
    WHERE given.line >> 4 = ANY (nullif(current_setting('haulier.held', true), '')::int[])
) s
CROSS JOIN LATERAL (
    SELECT t.id, t.place,
           CASE WHEN $5::text[] IS NOT NULL THEN t.kind END AS kind,
           CASE
               WHEN t.state = 1 AND ($5::text[] IS NULL OR t.kind = ANY ($5::text[])) THEN
                   (SELECT l.epoch FROM {schema}.lease l WHERE l.id = t.id) IS NULL
               ELSE false
           END AS is_free,
           row_number() OVER line AS nth,
           lead(t.place) OVER line IS NULL AS is_last
    FROM (
        SELECT task.id, task.place, task.kind, task.state
        FROM {schema}.task
        WHERE task.line = s.line AND task.place > s.after AND task.place <= s.upto
        ORDER BY task.place
        LIMIT s.rows
    ) t
    WINDOW line AS (ORDER BY t.place)
) w
WHERE w.is_free OR w.is_last
