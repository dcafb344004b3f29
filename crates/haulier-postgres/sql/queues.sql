SELECT q.no, q.name, q.paused, q.concurrency, q.max_tasks, q.retain_completed, q.retain_count,
       q.retain_cancelled, q.retain_dead, coalesce(y.counts, '{0,0,0,0,0,0,0}'::bigint[]) AS counts,
       coalesce(y.accepted, 0) AS accepted, coalesce(y.removed, 0) AS removed,
       coalesce(y.finished, 0) AS finished
FROM {schema}.queue q
LEFT JOIN (
    SELECT t.queue,
           ARRAY[sum(t.scheduled), sum(t.available), sum(t.running), sum(t.retryable),
                 sum(t.completed), sum(t.cancelled), sum(t.dead)]::bigint[] AS counts,
           sum(t.accepted)::bigint AS accepted, sum(t.removed)::bigint AS removed,
           sum(t.finished)::bigint AS finished
    FROM {schema}.tally t GROUP BY t.queue
) y ON y.queue = q.no
ORDER BY q.name
