SELECT id FROM {schema}.task WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED
