-- Leases that ran out. One that is being settled or renewed is decided about by who does so.
SELECT l.id, l.deadline AS at, l.place FROM {schema}.lease l
WHERE l.deadline <= $1::bigint AND l.deadline >= $3::bigint
ORDER BY l.deadline, l.place LIMIT $2::bigint
FOR UPDATE OF l SKIP LOCKED
