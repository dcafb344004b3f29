-- A unique key is kept for its window in any case.
UPDATE {schema}.task t SET kept_until = kept.until
FROM (
    SELECT f.id, greatest(
        f.finished_at + CASE f.state WHEN 4 THEN $2::bigint WHEN 5 THEN $3::bigint
                                     ELSE $4::bigint END,
        f.enqueued_at + f.unique_window,
        -- Sweeps do not look into the past again.
        now.wall
    ) AS until
    FROM {schema}.task f, (SELECT wall FROM {schema}.now) now
    WHERE f.kept_until IS NOT NULL AND f.queue = $1 AND f.state IN (4, 5, 6) AND f.retain IS NULL
    ORDER BY f.id FOR UPDATE OF f
) kept
WHERE t.id = ANY (ARRAY[kept.id]) AND t.kept_until IS DISTINCT FROM kept.until
