DELETE FROM {schema}.node WHERE id = $1
