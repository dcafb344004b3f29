UPDATE {schema}.task SET expires_at = NULL WHERE id = ANY ($1::uuid[])
