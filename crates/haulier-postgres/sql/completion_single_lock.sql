-- Single completed tasks that are to go, unless somebody is at them: then the next look sees them.
SELECT t.id, t.queue, t.state, t.finish
FROM unnest($1::int[], $2::bigint[]) AS given (queue, first)
JOIN {schema}.completion c ON c.queue = given.queue AND c.first = given.first
JOIN {schema}.task t ON t.id = ANY (ARRAY[c.ids[1]]) AND t.state = 4
FOR UPDATE OF t SKIP LOCKED
