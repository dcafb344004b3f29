UPDATE {schema}.worker SET news = false WHERE id = $1::text AND news RETURNING id
