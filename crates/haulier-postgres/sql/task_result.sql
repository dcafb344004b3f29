UPDATE {schema}.task t SET result = given.result, result_type = given.type
FROM unnest($1::uuid[], $2::bytea[], $3::text[]) AS given (id, result, type)
WHERE t.id = ANY (ARRAY[given.id])
