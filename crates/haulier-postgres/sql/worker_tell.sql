UPDATE {schema}.worker SET news = true WHERE id = ANY ($1::text[]) AND NOT news
