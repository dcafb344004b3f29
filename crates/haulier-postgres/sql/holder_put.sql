INSERT INTO {schema}.holder (queue, key, task)
SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[])
ON CONFLICT (queue, key) DO UPDATE SET task = excluded.task
