DELETE FROM {schema}.completion c
USING unnest($1::int[], $2::bigint[]) AS given (queue, first)
WHERE c.queue = given.queue AND c.first = given.first
