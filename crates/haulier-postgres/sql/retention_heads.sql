-- The first completions of each queue: those that go by the queue's own word alone, up to the first
-- that stays, and as many as there are too many. How many tasks one has is read only if it may go.
SELECT given.queue, head.first, head.at, head.tasks, head.single, head.free
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS given (queue, floor, below, over, excess)
CROSS JOIN LATERAL (
    (SELECT c.first, c.at,
            CASE WHEN c.at <= given.over OR c.first < given.below THEN cardinality(c.ids) ELSE 0 END
                AS tasks,
            false AS single, false AS free
     FROM {schema}.completion c
     WHERE c.queue = given.queue AND c.first >= given.floor AND c.gone_at IS NULL AND NOT c.single
     ORDER BY c.first LIMIT $6::bigint)
    UNION ALL
    (SELECT c.first, c.at, cardinality(c.ids), c.single, true
     FROM {schema}.completion c
     WHERE c.queue = given.queue AND c.first >= given.floor AND c.gone_at IS NULL
       AND c.held_until IS NULL
     ORDER BY c.first LIMIT least(given.excess, $6::bigint))
) head
