-- What a worker in any language calls to complete its task inside its own transaction, together
-- with what the task was about: both become true when the transaction commits, or neither. Errors
-- are those of the functions that hand tasks over.

-- The answer to a key whose lease is over: the same as the first time, if it completed the task.
CREATE FUNCTION {schema}.answer_again(id uuid, epoch bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    answer smallint;
BEGIN
    -- A delivery that completed its task may stand in the task's own row.
    SELECT coalesce(d.answer, CASE WHEN s.epoch = $2 AND s.leased_at IS NOT NULL THEN 4 END)
        INTO answer
        FROM {schema}.standing s
        LEFT JOIN {schema}.delivery d ON d.task = s.id AND d.epoch = $2
        WHERE s.id = $1 AND NOT s.gone;
    IF answer = 4 THEN
        RETURN;
    ELSIF answer IN (-1, 5) THEN
        PERFORM {schema}.refuse('HL007', 'task ' || id || ' was cancelled',
            'Roll back; nothing else is to be done.');
    END IF;
    PERFORM {schema}.refuse('HL006',
        'the lease of task ' || id || ' with epoch ' || epoch || ' is over',
        'Roll back: the task is given to somebody else, or was already.');
END
$$;

-- Ends a lease: its task is completed when this transaction commits. Whoever does something else to
-- the task waits until then.
CREATE FUNCTION {schema}.complete_task(
    id uuid, epoch bigint, result bytea, content_type text, bytes_max bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    held {schema}.lease;
    wall bigint;
    number bigint;
    key_until bigint;
BEGIN
    DELETE FROM {schema}.lease l WHERE l.id = $1 AND l.epoch = $2 RETURNING * INTO held;
    IF NOT FOUND THEN
        PERFORM {schema}.answer_again($1, $2);
        RETURN;
    ELSIF held.stops IS NOT NULL THEN
        PERFORM {schema}.refuse('HL007', 'task ' || $1 || ' was cancelled',
            'Roll back; nothing else is to be done.');
    END IF;
    PERFORM {schema}.check_bytes('result', $3, $4, $5);
    SELECT n.wall INTO wall FROM {schema}.now n;
    -- It is no part of a batch: others may be removed long before this transaction commits.
    number := nextval('{schema}.finish') * 1024;
    UPDATE {schema}.task t
        SET state = 4, line = NULL, wake_at = NULL, expires_at = NULL, finish = number,
            finished_at = wall,
            kept_until = greatest(wall + coalesce(t.retain, q.retain_completed),
                t.enqueued_at + t.unique_window),
            place = nextval('{schema}.place'), epoch = held.epoch, attempt = held.attempt,
            started = true, has_deliveries = true, result = $3,
            result_type = CASE WHEN $3 IS NOT NULL THEN nullif($4, 'application/json') END
        FROM {schema}.queue q
        WHERE t.id = $1 AND q.no = t.queue
        RETURNING t.enqueued_at + t.unique_window INTO key_until;
    INSERT INTO {schema}.delivery
        (task, epoch, attempt, worker, leased_at, ended_at, ended, answer)
        VALUES ($1, $2, held.attempt, held.worker, held.leased_at, wall, 0, 4);
    -- The last twenty are remembered.
    DELETE FROM {schema}.delivery d WHERE d.task = $1 AND d.epoch <= (
        SELECT o.epoch FROM {schema}.delivery o WHERE o.task = $1
        ORDER BY o.epoch DESC OFFSET 20 LIMIT 1);
    INSERT INTO {schema}.completion (queue, first, at, ids, single, held_until)
        VALUES (held.queue, number, wall, ARRAY[$1], true,
            CASE WHEN key_until > wall THEN key_until END);
    INSERT INTO {schema}.tally (queue, running, completed, finished)
        VALUES (held.queue, -1, 1, 1);
END
$$;

CREATE FUNCTION {schema}.complete(id uuid, epoch bigint, result jsonb DEFAULT NULL) RETURNS void
    LANGUAGE sql VOLATILE
    AS $$
SELECT {schema}.complete_task(id, epoch, convert_to(result::text, 'UTF8'), 'application/json',
    {schema}.bytes_max())
$$;

-- The same with a result that is not JSON.
CREATE FUNCTION {schema}.complete_bytes(
    id uuid, epoch bigint, result bytea, content_type text DEFAULT 'application/octet-stream'
) RETURNS void
    LANGUAGE sql VOLATILE
    AS $$
SELECT {schema}.complete_task(id, epoch, result, content_type, {schema}.bytes_max())
$$;

-- Tells the servers that something was handed over in a transaction. Best called after the commit:
-- in the transaction itself it is said when that commits, and commits that say something come one
-- after the other in the whole database.
CREATE FUNCTION {schema}.wake() RETURNS void
    LANGUAGE sql VOLATILE
    AS $$ SELECT pg_notify(btrim('{schema}', '"'), ';d') $$;
