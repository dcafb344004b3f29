-- Whether what must be there is there. One statement sees one moment, so the sums must agree.
SELECT EXISTS (SELECT FROM {schema}.meta) AS meta,
       EXISTS (SELECT FROM {schema}.task) AS tasks,
       EXISTS (SELECT FROM {schema}.tally) AS tallies,
       (SELECT count(*) FROM {schema}.lease) AS leases,
       t.running, t.counted,
       -- Changes when a table is truncated, and when it is written anew.
       (SELECT string_agg(c.relname || c.relfilenode::text, ' ' ORDER BY c.relname)
        FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(quote_ident($1::text)) AND c.relkind = 'r'
          AND c.relname IN ('task', 'lease', 'tally', 'delivery', 'holder', 'completion')) AS files
FROM (SELECT coalesce(sum(running), 0)::bigint AS running,
             coalesce(sum(scheduled + available + running + retryable + completed + cancelled
                          + dead), 0)::bigint AS counted
      FROM {schema}.tally) t
