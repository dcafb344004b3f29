DELETE FROM {schema}.holder h
USING unnest($1::int[], $2::text[]) AS given (queue, key)
WHERE h.queue = given.queue AND h.key = ANY (ARRAY[given.key])
