-- Tasks with everything that they may have.
WITH now AS MATERIALIZED (SELECT coalesce($1::bigint, wall) AS wall FROM {schema}.now),
limited AS MATERIALIZED (
    SELECT no FROM {schema}.queue
    WHERE $2::bool AND no = ANY ($4::int[]) AND max_tasks IS NOT NULL
),
given AS (
    SELECT u.*, now.wall,
           -- A time that has passed is no way to the head of the line.
           CASE WHEN u.at IS NOT NULL THEN greatest(u.at, now.wall)
                ELSE now.wall + coalesce(u.delay, 0) END AS due
    FROM now, unnest($3::uuid[], $4::int[], $5::smallint[], $6::text[], $7::bytea[], $8::text[],
                     $9::bigint[], $10::bigint[], $11::int[], $12::bigint[], $13::text[],
                     $14::bigint[], $15::bigint[], $16::text[], $17::text[], $18::text[],
                     $19::bigint[], $20::smallint[], $21::smallint[])
        AS u (id, queue, priority, kind, payload, content_type, delay, at, max_attempts, timeout,
              backoff, retain, expires_in, headers, labels, unique_key, unique_window,
              unique_until, unique_conflict)
    WHERE u.queue <> ALL (ARRAY(SELECT no FROM limited))
),
stored AS (
    INSERT INTO {schema}.task (
        id, enqueued_at, due_at, place, epoch, queue, state, line, wake_at, expires_at, priority,
        kind, payload, content_type, max_attempts, timeout, backoff, retain, expires_in, headers,
        labels, unique_key, unique_window, unique_until, unique_conflict)
    SELECT id, wall, due, nextval('{schema}.place'), 0, queue,
           CASE WHEN due <= wall THEN 1 ELSE 0 END,
           CASE WHEN due <= wall THEN queue * 16 + 9 - priority END,
           CASE WHEN due > wall THEN due END,
           wall + expires_in, priority, kind, payload, content_type, max_attempts, timeout,
           backoff::bigint[], retain, expires_in, headers::text[], labels::text[], unique_key,
           unique_window, unique_until, unique_conflict
    FROM given
    ON CONFLICT (id) DO NOTHING
    RETURNING id, queue, place, line, state
),
counted AS (
    INSERT INTO {schema}.tally (queue, scheduled, available, accepted)
    SELECT queue, count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1), count(*)
    FROM stored GROUP BY queue
)
SELECT queue, min(place) FILTER (WHERE line IS NOT NULL) AS place, array_agg(id) AS ids,
       array_agg(state) AS states
FROM stored
GROUP BY queue
