SELECT w.id, w.directive, w.version, w.queues, w.kinds, w.slots, coalesce(held.count, 0) AS leases,
       greatest(now.leases - w.heard_at, 0) AS silent
FROM {schema}.now now
CROSS JOIN {schema}.worker w
LEFT JOIN (SELECT worker, count(*) FROM {schema}.lease GROUP BY worker) held ON held.worker = w.id
WHERE w.heard_at > now.leases - $1::bigint OR held.count > 0
ORDER BY w.id
