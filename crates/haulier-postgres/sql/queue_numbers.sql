SELECT name, no FROM {schema}.queue WHERE name = ANY ($1::text[])
