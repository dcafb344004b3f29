-- Whoever stores tasks in a queue with `max_tasks` does so alone, or both would see the last place.
SELECT q.no, q.max_tasks, pg_advisory_xact_lock(hashtext('{schema} room'), q.no)
FROM (
    SELECT no, max_tasks FROM {schema}.queue
    WHERE no = ANY ($1::int[]) AND max_tasks IS NOT NULL
    ORDER BY no
) q
