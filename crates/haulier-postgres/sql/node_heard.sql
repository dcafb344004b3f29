INSERT INTO {schema}.node (id, heard_at) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET heard_at = excluded.heard_at
