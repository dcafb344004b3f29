SELECT id FROM {schema}.lease WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED
