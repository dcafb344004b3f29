INSERT INTO {schema}.migration (version, name, checksum) VALUES ($1::integer, $2::text, $3::text)
