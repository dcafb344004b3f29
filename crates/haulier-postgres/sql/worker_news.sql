SELECT id FROM {schema}.worker WHERE id = ANY ($1::text[]) AND news
