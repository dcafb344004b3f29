DELETE FROM {schema}.worker
