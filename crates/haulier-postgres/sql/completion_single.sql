INSERT INTO {schema}.completion (queue, first, at, ids, single)
SELECT given.queue, given.finish, $4::bigint, ARRAY[given.id], true
FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS given (id, queue, finish)
