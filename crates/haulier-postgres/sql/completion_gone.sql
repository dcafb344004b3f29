UPDATE {schema}.completion c SET gone_at = $3::bigint, ids = c.ids[:given.going]
FROM unnest($1::int[], $2::bigint[], $4::int[]) AS given (queue, first, going)
WHERE c.queue = given.queue AND c.first = given.first
