UPDATE {schema}.task SET checkpoints = $2::text[], checkpoint_values = $3::bytea[] WHERE id = $1
