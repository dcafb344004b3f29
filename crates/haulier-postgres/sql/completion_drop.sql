UPDATE {schema}.completion c SET
    ids = ARRAY(
        SELECT member.id FROM unnest(c.ids) WITH ORDINALITY AS member (id, at)
        WHERE member.id <> ALL ($1::uuid[]) ORDER BY member.at
    )
FROM (
    SELECT DISTINCT given.queue, (
        SELECT max(batch.first) FROM {schema}.completion batch
        WHERE batch.queue = given.queue AND batch.first <= given.finish
    ) AS first
    FROM unnest($2::int[], $3::bigint[]) AS given (queue, finish)
) of
WHERE c.queue = of.queue AND c.first = ANY (ARRAY[of.first])
