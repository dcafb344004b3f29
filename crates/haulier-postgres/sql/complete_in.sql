SELECT {schema}.complete_task($1::uuid, $2::bigint, $3::bytea, $4::text, $5::bigint)
