DELETE FROM {schema}.delivery WHERE task = ANY ($1::uuid[])
