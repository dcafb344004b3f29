SELECT s.*, t.checkpoints, t.checkpoint_values
FROM {schema}.standing s
JOIN {schema}.task t ON t.id = ANY (ARRAY[s.id])
WHERE s.id = ANY ($1::uuid[])
