-- One after the other, in their order: they meet each other.
SELECT answer.id, answer.inserted, answer.state, answer.code, answer.message, answer.hint
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::int[], $7::bigint[],
            $8::bigint[], $9::int[], $10::bigint[], $11::text[], $12::bigint[], $13::bigint[],
            $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::text[])
    WITH ORDINALITY AS given (id, queue, kind, payload, content_type, priority, delay, run_at,
        max_attempts, timeout, backoff, expires_in, retain, headers, labels, unique_key, unique_for,
        unique_until, on_conflict, at)
CROSS JOIN LATERAL {schema}.try_enqueue(
    given.kind, given.payload, given.content_type, given.queue, given.priority, given.delay,
    given.run_at, given.id, given.unique_key, given.unique_for, given.unique_until,
    given.on_conflict, given.max_attempts, given.timeout, given.backoff::bigint[],
    given.expires_in, given.retain, given.headers::text[], given.labels::text[], $20::bigint)
    AS answer
ORDER BY given.at
