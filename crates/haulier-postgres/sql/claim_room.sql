-- How many tasks of each queue may start now. Null: as many as there are.
SELECT q.no, q.concurrency IS NOT NULL AND NOT q.paused AS is_limited,
       CASE
           WHEN q.paused THEN 0
           WHEN q.concurrency IS NOT NULL THEN greatest(
               0,
               q.concurrency - (
                   SELECT coalesce(sum(t.running), 0) FROM {schema}.tally t WHERE t.queue = q.no
               )
           )
       END::bigint AS room
FROM {schema}.queue q
WHERE q.no = ANY ($1::int[])
