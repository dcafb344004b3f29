-- The first tasks of a batch go; the others become one that begins where they begin.
INSERT INTO {schema}.completion (queue, first, at, ids)
SELECT c.queue, given.rest, c.at, c.ids[given.going + 1:]
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[]) AS given (queue, first, rest, going)
JOIN {schema}.completion c ON c.queue = given.queue AND c.first = given.first
