-- The database's clock, what the last sweep left in `meta`, and the first of everything that time
-- brings about. Below the floors there is nothing left: what is read there are rows that are gone.
SELECT {schema}.clock() AS clock, m.wall, m.slip, m.leases_at,
       (SELECT n.heard_at FROM {schema}.node n WHERE n.id = $1) AS heard_at,
       least(
           (SELECT t.wake_at FROM {schema}.task t WHERE t.wake_at = 0 LIMIT 1),
           (SELECT t.wake_at FROM {schema}.task t WHERE t.wake_at >= $2
            ORDER BY t.wake_at LIMIT 1)
       ) AS wake,
       (SELECT t.expires_at FROM {schema}.task t
        WHERE t.expires_at >= $3
        ORDER BY t.expires_at LIMIT 1) AS expires,
       -- Not whenever it is: between now and the first one lie all that ended since they began.
       (SELECT l.deadline FROM {schema}.lease l
        WHERE l.deadline >= $4 AND l.deadline <= $7::bigint + (
            SELECT greatest({schema}.clock() - n.slip, n.leases_at) FROM {schema}.meta n WHERE n.one
        )
        ORDER BY l.deadline LIMIT 1) AS deadline,
       (SELECT t.kept_until FROM {schema}.task t
        WHERE t.kept_until >= $5
        ORDER BY t.kept_until LIMIT 1) AS kept,
       (SELECT c.gone_at FROM {schema}.completion c
        WHERE c.gone_at >= $6 ORDER BY c.gone_at LIMIT 1) AS gone,
       (SELECT c.held_until FROM {schema}.completion c
        WHERE c.held_until IS NOT NULL ORDER BY c.held_until LIMIT 1) AS held,
       (SELECT r.look_at FROM {schema}.retention r
        WHERE r.look_at IS NOT NULL ORDER BY r.look_at LIMIT 1) AS look,
       CASE WHEN $8::boolean THEN EXISTS (SELECT FROM {schema}.tally y WHERE y.fresh)
           ELSE false END AS fresh
FROM {schema}.meta m
