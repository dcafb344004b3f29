-- Leases of which nobody knows whether they were granted: those that were.
SELECT l.id, l.epoch
FROM unnest($1::uuid[], $2::text[]) AS given (id, worker)
JOIN {schema}.lease l ON l.id = ANY (ARRAY[given.id]) AND l.worker = given.worker
