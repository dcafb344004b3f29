DELETE FROM {schema}.task WHERE id = ANY ($1::uuid[]) RETURNING epoch
