INSERT INTO {schema}.delivery (task, epoch, attempt, worker, leased_at, ended_at, ended, cause,
                               class, message, trace, late, answer)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[], $5::bigint[], $6::bigint[],
                     $7::smallint[], $8::smallint[], $9::text[], $10::text[], $11::text[],
                     $12::bool[], $13::smallint[])
-- A lease that ran out and was settled nevertheless.
ON CONFLICT (task, epoch) DO UPDATE SET
    ended_at = excluded.ended_at, ended = excluded.ended, cause = excluded.cause,
    class = excluded.class, message = excluded.message, trace = excluded.trace,
    late = excluded.late, answer = excluded.answer
