-- The tasks of these completions, in their order.
SELECT c.queue, c.first, member.id, t.finish
FROM unnest($1::int[], $2::bigint[]) AS given (queue, first)
JOIN {schema}.completion c ON c.queue = given.queue AND c.first = given.first
CROSS JOIN LATERAL unnest(c.ids) AS member (id)
JOIN {schema}.task t ON t.id = member.id
ORDER BY c.queue, t.finish
