UPDATE {schema}.retention r SET gone_below = greatest(r.gone_below, given.below), look_at = given.look
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS given (queue, below, look)
WHERE r.queue = given.queue
