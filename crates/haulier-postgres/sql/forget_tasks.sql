-- An id that was handed over anew after it was forgotten is another task.
DELETE FROM {schema}.task t
USING unnest($1::uuid[], $2::bigint[]) AS given (id, first)
WHERE t.id = ANY (ARRAY[given.id]) AND t.state = 4 AND t.line IS NOT NULL AND t.finish / 1024 = given.first / 1024
RETURNING t.id, t.epoch, t.has_deliveries, t.queue, t.unique_key,
          t.unique_key IS NOT NULL AS keyed
