DELETE FROM {schema}.lease WHERE id = ANY ($1::uuid[])
