-- The first available tasks of each line, and where the line ends.
SELECT given.line, head.place, head.due_at,
       (SELECT max(e.place) FROM {schema}.task e WHERE e.line = given.line) AS ends
FROM unnest($1::int[], $2::bigint[]) AS given (line, floor)
LEFT JOIN LATERAL (
    SELECT min(f.place) AS place, min(f.due_at) AS due_at
    FROM (
        SELECT t.place, t.due_at FROM {schema}.task t
        WHERE t.line = given.line AND t.place >= given.floor AND t.state = 1
          AND (SELECT l.epoch FROM {schema}.lease l WHERE l.id = t.id) IS NULL
        ORDER BY t.place LIMIT 100
    ) f
) head ON true
