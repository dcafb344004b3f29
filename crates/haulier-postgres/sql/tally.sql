INSERT INTO {schema}.tally (queue, scheduled, available, running, retryable, completed, cancelled,
                            dead, removed, finished)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
