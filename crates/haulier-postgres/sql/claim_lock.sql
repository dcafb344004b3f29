-- The mutexes that are free are ours until the transaction ends. The statements that travel with this
-- one see by a setting of the transaction which those are, without our having to be asked in between.
SELECT set_config('haulier.held', coalesce(array_agg(free.no), '{}')::text, true)::int[] AS held
FROM (
    SELECT wanted.no
    FROM unnest($1::int[]) AS wanted (no)
    WHERE pg_try_advisory_xact_lock(hashtext('{schema}'), wanted.no)
) free
