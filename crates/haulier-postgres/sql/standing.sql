SELECT * FROM {schema}.standing WHERE id = ANY ($1::uuid[])
