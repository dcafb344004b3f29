DELETE FROM {schema}.delivery d
USING (
    SELECT DISTINCT given.task, (
        SELECT newer.epoch FROM {schema}.delivery newer
        WHERE newer.task = given.task ORDER BY newer.epoch DESC OFFSET 19 LIMIT 1
    ) AS oldest
    FROM unnest($1::uuid[]) AS given (task)
) kept
WHERE d.task = ANY (ARRAY[kept.task]) AND d.epoch < kept.oldest
