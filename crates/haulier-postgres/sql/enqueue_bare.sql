-- Tasks that have nothing but what every task has. Ids come back only if some were left out. An id
-- that somebody else stores at this moment fails the statement: `ON CONFLICT` would cost every task
-- half as much again.
WITH now AS MATERIALIZED (SELECT wall FROM {schema}.now),
limited AS MATERIALIZED (
    SELECT no FROM {schema}.queue WHERE no = ANY ($2::int[]) AND max_tasks IS NOT NULL
),
stored AS (
    INSERT INTO {schema}.task (id, enqueued_at, due_at, place, epoch, queue, line, state, priority,
                               kind, payload, content_type)
    SELECT given.id, now.wall, now.wall, nextval('{schema}.place'), 0, given.queue,
           given.queue * 16 + 9 - given.priority, 1, given.priority, given.kind, given.payload,
           given.content_type
    FROM now, unnest($1::uuid[], $2::int[], $3::smallint[], $4::text[], $5::bytea[], $6::text[])
        AS given (id, queue, priority, kind, payload, content_type)
    WHERE given.queue <> ALL (ARRAY(SELECT no FROM limited))
      AND (SELECT true FROM {schema}.task known WHERE known.id = given.id) IS NULL
    RETURNING id, queue, place, state
),
counted AS (
    INSERT INTO {schema}.tally (queue, available, accepted)
    SELECT queue, count(*), count(*) FROM stored GROUP BY queue
)
-- A subquery of its own is asked once; joined, it may be asked again for every row.
SELECT queue, min(place) AS place,
       CASE WHEN (SELECT count(*) FROM stored) < cardinality($1::uuid[]) THEN array_agg(id) END AS ids,
       CASE WHEN (SELECT count(*) FROM stored) < cardinality($1::uuid[]) THEN array_agg(state) END
           AS states
FROM stored
GROUP BY queue
