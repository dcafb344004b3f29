-- The first completions of each queue: those that go by the queue's own word alone, and all that
-- may go because there are too many.
SELECT given.queue, head.first, head.at, head.tasks, head.single, head.free
FROM unnest($1::int[], $2::bigint[]) AS given (queue, floor)
CROSS JOIN LATERAL (
    (SELECT c.first, c.at, cardinality(c.ids) AS tasks, false AS single, false AS free
     FROM {schema}.completion c
     WHERE c.queue = given.queue AND c.first >= given.floor AND c.gone_at IS NULL AND NOT c.single
     ORDER BY c.first LIMIT $3::bigint)
    UNION ALL
    (SELECT c.first, c.at, cardinality(c.ids), c.single, true
     FROM {schema}.completion c
     WHERE c.queue = given.queue AND c.first >= given.floor AND c.gone_at IS NULL
       AND c.held_until IS NULL
     ORDER BY c.first LIMIT $3::bigint)
) head
