SELECT given.at
FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::text[], $5::bytea[], $6::text[])
    AS given (at, id, queue, kind, payload, content_type)
JOIN {schema}.task t ON t.id = ANY (ARRAY[given.id])
WHERE t.queue = given.queue AND t.kind = given.kind AND t.payload = given.payload
  AND t.content_type IS NOT DISTINCT FROM given.content_type
