SELECT y.queue, sum(y.completed)::bigint AS completed
FROM {schema}.tally y WHERE y.queue = ANY ($1::int[]) GROUP BY y.queue
