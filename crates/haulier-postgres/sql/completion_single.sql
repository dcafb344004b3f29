INSERT INTO {schema}.completion (queue, first, at, ids, single, held_until)
SELECT given.queue, given.finish, $5::bigint, ARRAY[given.id], true, given.held_until
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[])
    AS given (id, queue, finish, held_until)
