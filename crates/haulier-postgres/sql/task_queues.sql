SELECT DISTINCT queue FROM {schema}.task WHERE id = ANY ($1::uuid[])
