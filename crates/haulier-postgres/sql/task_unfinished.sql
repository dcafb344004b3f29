SELECT FROM {schema}.task t WHERE t.id = ANY ($1::uuid[]) AND t.state < 4 LIMIT 1
