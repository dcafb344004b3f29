-- Of the completions that had these tasks, those that have none any more.
DELETE FROM {schema}.completion c
USING (
    SELECT DISTINCT given.queue, (
        SELECT max(batch.first) FROM {schema}.completion batch
        WHERE batch.queue = given.queue AND batch.first <= given.finish
    ) AS first
    FROM unnest($1::int[], $2::bigint[]) AS given (queue, finish)
) of
WHERE c.queue = of.queue AND c.first = of.first AND cardinality(c.ids) = 0
