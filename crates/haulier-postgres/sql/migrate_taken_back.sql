DELETE FROM {schema}.migration WHERE version = $1::integer
