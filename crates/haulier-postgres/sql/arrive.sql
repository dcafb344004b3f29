-- Servers that arrive at the same time arrive one after the other.
SELECT {schema}.clock() AS clock, m.wall, m.slip, m.leases_at,
       EXISTS (
           SELECT FROM {schema}.node n WHERE n.id <> $1 AND n.heard_at > m.leases_at - $2::bigint
       ) AS others
FROM {schema}.meta m
FOR UPDATE OF m
