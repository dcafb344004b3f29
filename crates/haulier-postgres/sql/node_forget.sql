DELETE FROM {schema}.node WHERE heard_at < $1
