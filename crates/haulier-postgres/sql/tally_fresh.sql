SELECT DISTINCT y.queue FROM (
    SELECT f.queue FROM {schema}.tally f WHERE f.fresh ORDER BY f.queue LIMIT $1::bigint
) y
