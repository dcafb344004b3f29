-- Every task that is there, and how many the counts say. Slow; asked when a table was written anew.
SELECT (SELECT count(*) FROM {schema}.standing WHERE NOT gone) AS tasks,
       (SELECT coalesce(sum(scheduled + available + running + retryable + completed + cancelled
                            + dead), 0)::bigint FROM {schema}.tally) AS counted
