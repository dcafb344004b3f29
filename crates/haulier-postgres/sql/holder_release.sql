DELETE FROM {schema}.holder h
USING {schema}.task t
WHERE t.id = ANY ($1::uuid[]) AND t.unique_key IS NOT NULL
  AND h.queue = t.queue AND h.key = t.unique_key AND h.task = t.id
