-- Where the rest of a batch begins when so many of its tasks go.
SELECT c.queue, t.finish
FROM unnest($1::int[], $2::bigint[], $3::int[]) AS given (queue, first, going)
JOIN {schema}.completion c ON c.queue = given.queue AND c.first = given.first
JOIN {schema}.task t ON t.id = ANY (ARRAY[c.ids[given.going + 1]])
