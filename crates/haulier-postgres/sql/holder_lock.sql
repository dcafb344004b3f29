SELECT h.queue, h.key, h.task
FROM unnest($1::int[], $2::text[]) AS given (queue, key)
JOIN {schema}.holder h ON h.queue = given.queue AND h.key = ANY (ARRAY[given.key])
ORDER BY h.queue, h.key
FOR UPDATE OF h
