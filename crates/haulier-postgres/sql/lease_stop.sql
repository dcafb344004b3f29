UPDATE {schema}.lease l SET stops = given.stops
FROM unnest($1::uuid[], $2::bigint[]) AS given (id, stops)
WHERE l.id = ANY (ARRAY[given.id])
