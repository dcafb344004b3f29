-- The identity column tells cheaply that there is room; only near the end are queues counted.
INSERT INTO {schema}.queue (name)
SELECT DISTINCT given.name FROM unnest($1::text[]) AS given (name)
WHERE (SELECT coalesce(max(no), 0) FROM {schema}.queue) + cardinality($1::text[]) <= $2::bigint
   OR (SELECT count(*) FROM {schema}.queue) < $2::bigint
ON CONFLICT (name) DO NOTHING
