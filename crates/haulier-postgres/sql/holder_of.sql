DELETE FROM {schema}.holder h
USING unnest($1::int[], $2::text[], $3::uuid[]) AS given (queue, key, task)
WHERE h.queue = given.queue AND h.key = given.key AND h.task = given.task
