SELECT queue, sum(scheduled + available + running + retryable)::bigint AS pending
FROM {schema}.tally
WHERE queue = ANY ($1::int[])
GROUP BY queue
