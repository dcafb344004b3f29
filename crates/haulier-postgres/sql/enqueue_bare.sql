-- Tasks that have nothing but what every task has. Ids come back only if some were left out. An id
-- that is there already fails the statement, unless ids are looked up before (then only one that
-- somebody else stores at this moment does): `ON CONFLICT` would cost every task half as much again.
WITH now AS MATERIALIZED (SELECT wall FROM {schema}.now),
limited AS MATERIALIZED (
    SELECT no FROM {schema}.queue WHERE no = ANY ($2::int[]) AND max_tasks IS NOT NULL
),
stored AS (
    INSERT INTO {schema}.task (id, enqueued_at, due_at, place, epoch, queue, line, state, priority,
                               kind, payload, content_type)
    SELECT given.id, (SELECT wall FROM now), (SELECT wall FROM now), nextval('{schema}.place'), 0,
           given.queue, given.queue * 16 + 9 - given.priority, 1, given.priority, given.kind,
           given.payload, given.content_type
    -- Unlike a function with columns this keeps no copy of them.
    FROM (
        SELECT unnest($1::uuid[]) AS id, unnest($2::int[]) AS queue,
               unnest($3::smallint[]) AS priority, unnest($4::text[]) AS kind,
               unnest($5::bytea[]) AS payload, unnest($6::text[]) AS content_type
    ) given
    WHERE given.queue <> ALL (ARRAY(SELECT no FROM limited))
      AND (NOT $7::boolean
           OR (SELECT true FROM {schema}.task known WHERE known.id = given.id) IS NULL)
    RETURNING id, queue, place, state
),
sums AS MATERIALIZED (
    SELECT queue, min(place) AS place, count(*) AS tasks FROM stored GROUP BY queue
),
counted AS (
    INSERT INTO {schema}.tally (queue, available, accepted)
    SELECT queue, tasks, tasks FROM sums
),
-- If some were left out: those that were not.
listed AS (
    SELECT queue, array_agg(id) AS ids, array_agg(state) AS states FROM stored
    WHERE (SELECT sum(tasks) FROM sums) < cardinality($1::uuid[])
    GROUP BY queue
)
SELECT sums.queue, sums.place, listed.ids, listed.states
FROM sums LEFT JOIN listed ON listed.queue = sums.queue
