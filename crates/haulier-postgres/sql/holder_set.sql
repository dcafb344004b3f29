UPDATE {schema}.holder h SET task = given.task
FROM unnest($1::int[], $2::text[], $3::uuid[]) AS given (queue, key, task)
WHERE h.queue = given.queue AND h.key = ANY (ARRAY[given.key]) AND h.task <> given.task
