-- Functions for applications: whatever language they are written in, they hand tasks over inside
-- their own transactions. A task is there when the transaction commits, and never was if it rolls
-- back.
--
-- They check what the library checks, and say it in an error: its SQLSTATE is for programs, its
-- hint says what to do. HL001 invalid, HL002 too large, HL003 id conflict, HL004 unique conflict,
-- HL005 queue full, HL006 stale, HL007 cancelled, HL008 not supported.
--
-- A transaction of an application may stay open for minutes. So none of these takes a lock that
-- anybody waits for but those who want the same task, the same unique key or the same new queue:
-- no advisory lock, no place in line, no notification. A task goes into line when a server sees it,
-- after the commit; `wake` tells servers that there is something to see.
--
-- They run with the rights of whoever made the schema: an application needs USAGE on the schema
-- and EXECUTE on the functions, and nothing on the tables.

-- An id that is ordered by time: a UUID of version 7.
CREATE FUNCTION {schema}.new_id(at bigint) RETURNS uuid
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    bytes bytea := overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(at) FROM 3) FROM 1 FOR 6);
BEGIN
    RETURN encode(set_byte(bytes, 6, get_byte(bytes, 6) & 15 | 112), 'hex')::uuid;
END
$$;

-- A moment in milliseconds.
CREATE FUNCTION {schema}.moment(what text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
BEGIN
    IF NOT isfinite(at) THEN
        PERFORM {schema}.refuse('HL001', what || ' is infinite', 'Give a moment that comes.');
    END IF;
    RETURN floor((extract(epoch FROM at) * 1000)::numeric);
END
$$;

-- The row of a task that is handed over, checked, and not stored yet; its queue is still a name.
CREATE FUNCTION {schema}.new_task(
    kind text, payload bytea, content_type text, queue text, priority integer, delay interval,
    run_at bigint, id uuid, unique_key text, unique_for interval, unique_until text,
    on_conflict text, max_attempts integer, timeout interval, backoff bigint[], expires_in interval,
    retain interval, headers text[], labels text[], bytes_max bigint
) RETURNS {schema}.task
    LANGUAGE plpgsql VOLATILE
    AS $$
#variable_conflict use_variable
DECLARE
    new {schema}.task;
    wall bigint;
    later bigint := {schema}.millis('delay', delay);
BEGIN
    SELECT n.wall INTO wall FROM {schema}.now n;
    PERFORM {schema}.check_name('queue', queue);
    PERFORM {schema}.check_name('kind', kind);
    PERFORM {schema}.check_bytes('payload', payload, content_type, bytes_max);
    new.id := coalesce(id, {schema}.new_id(wall));
    new.kind := kind;
    new.payload := payload;
    new.content_type := nullif(content_type, 'application/json');
    new.headers := headers;
    PERFORM {schema}.check_pairs('headers', headers);
    PERFORM {schema}.check_headers(headers);
    new.labels := labels;
    PERFORM {schema}.check_pairs('labels', labels);
    PERFORM {schema}.check_labels(labels);
    new.priority := coalesce(priority, 4);
    new.max_attempts := max_attempts;
    new.timeout := {schema}.millis('timeout', timeout);
    new.backoff := backoff;
    new.expires_in := {schema}.millis('expires_in', expires_in);
    new.retain := {schema}.millis('retain', retain);
    new.unique_key := unique_key;
    IF unique_key IS NOT NULL THEN
        new.unique_window := coalesce({schema}.millis('unique_for', unique_for), 0);
        new.unique_until := {schema}.word('unique_until', coalesce(unique_until, 'finish'),
            '{start,finish}');
        new.unique_conflict := {schema}.word('on_conflict', coalesce(on_conflict, 'return'),
            '{return,reject,replace}');
    END IF;
    PERFORM {schema}.check_numbers(new);
    IF delay IS NOT NULL AND run_at IS NOT NULL THEN
        PERFORM {schema}.refuse('HL001', 'both delay and run_at are given', 'Give one of them.');
    END IF;
    new.enqueued_at := wall;
    -- A time that has passed is no way to the head of the line.
    new.due_at := greatest(wall + coalesce(later, 0), run_at);
    new.state := CASE WHEN new.due_at <= wall THEN 1 ELSE 0 END;
    -- Not in line, nor among those whose time will come: a server sees it there after the commit,
    -- however late that is, and puts it where it belongs.
    new.wake_at := 0;
    new.expires_at := wall + new.expires_in;
    new.epoch := 0;
    RETURN new;
END
$$;

-- The number of a queue. Whoever names a new queue at the same time waits until this transaction
-- ends, and nobody else does.
CREATE FUNCTION {schema}.queue_no(queue text) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    number integer;
BEGIN
    LOOP
        SELECT q.no INTO number FROM {schema}.queue q WHERE q.name = $1;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.queue (name) VALUES ($1) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN number;
END
$$;

-- What becomes of a task that is handed over: which task stands for it now, or why none does.
CREATE TYPE {schema}.answer AS (
    id uuid,
    inserted boolean,
    -- Null: only the id is still known.
    state text,
    -- Not null: it is refused.
    code text,
    message text,
    hint text
);

CREATE FUNCTION {schema}.refused(code text, message text, hint text) RETURNS {schema}.answer
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT NULL::uuid, NULL::boolean, NULL::text, code, message, hint $$;

CREATE FUNCTION {schema}.existing(id uuid, state text) RETURNS {schema}.answer
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT id, false, state, NULL::text, NULL::text, NULL::text $$;

-- The state of a task in one word; null if only its id is still known.
CREATE FUNCTION {schema}.state_of(task uuid) RETURNS text
    LANGUAGE sql STABLE
    AS $$
SELECT CASE
    WHEN s.gone THEN NULL
    WHEN s.lease_epoch IS NOT NULL THEN 'running'
    ELSE ('{scheduled,available,running,retryable,completed,cancelled,dead}'::text[])[s.state + 1]
END
FROM {schema}.standing s WHERE s.id = task
$$;

-- The answer to a new task whose id is known; null if it is not.
CREATE FUNCTION {schema}.meet_id(new {schema}.task) RETURNS {schema}.answer
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    known {schema}.task;
    state text;
BEGIN
    SELECT * INTO known FROM {schema}.task t WHERE t.id = new.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    state := {schema}.state_of(new.id);
    IF state IS NOT NULL
        AND (known.queue, known.kind, known.payload, known.content_type) IS DISTINCT FROM
            (new.queue, new.kind, new.payload, new.content_type)
    THEN
        RETURN {schema}.refused('HL003',
            'task ' || new.id || ' exists with another queue, kind or payload', 'Use a new id.');
    END IF;
    RETURN {schema}.existing(new.id, state);
END
$$;

-- The answer to a new task whose unique key another task holds; null if the key is free. A key that
-- somebody held once is locked then.
CREATE FUNCTION {schema}.meet_key(new {schema}.task) RETURNS {schema}.answer
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    other uuid;
    holder {schema}.task;
    state text;
    started boolean;
BEGIN
    SELECT h.task INTO other FROM {schema}.holder h
        WHERE h.queue = new.queue AND h.key = new.unique_key FOR UPDATE;
    SELECT * INTO holder FROM {schema}.task t WHERE t.id = other;
    state := {schema}.state_of(other);
    started := holder.started OR state = 'running';
    IF state IS NULL OR holder.enqueued_at + holder.unique_window <= new.enqueued_at
        AND (holder.state > 3 OR holder.unique_until = 0 AND started)
    THEN
        RETURN NULL;
    ELSIF new.unique_conflict = 1 THEN
        RETURN {schema}.refused('HL004', 'the unique key is held by task ' || other,
            'Enqueue with on_conflict return to get that task instead.');
    ELSIF new.unique_conflict = 0 OR started THEN
        RETURN {schema}.existing(other, state);
    ELSIF holder.state > 3 THEN
        -- There is nothing to call off: it only gives its key away.
        RETURN NULL;
    END IF;
    -- To take a waiting task out of its line would hold up the whole queue until the application
    -- commits.
    RETURN {schema}.refused('HL008',
        'task ' || other || ' waits, and cannot be replaced in a transaction',
        'Cancel it first, or enqueue with on_conflict replace outside of a transaction.');
END
$$;

-- Whether a new task has its unique key now. If not, somebody else has just made it his.
CREATE FUNCTION {schema}.take_key(new {schema}.task) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    IF new.unique_key IS NULL THEN
        RETURN true;
    END IF;
    -- It was locked if it was there: nobody can have come between.
    UPDATE {schema}.holder h SET task = new.id
        WHERE h.queue = new.queue AND h.key = new.unique_key;
    IF NOT FOUND THEN
        INSERT INTO {schema}.holder (queue, key, task) VALUES (new.queue, new.unique_key, new.id)
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN FOUND;
END
$$;

-- Null if there is room. What is committed counts: transactions that are open at the same time may
-- exceed it together.
CREATE FUNCTION {schema}.check_room(new {schema}.task, name text) RETURNS {schema}.answer
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    most bigint;
    held bigint;
BEGIN
    SELECT q.max_tasks INTO most FROM {schema}.queue q WHERE q.no = new.queue;
    IF most IS NOT NULL THEN
        SELECT sum(t.scheduled + t.available + t.running + t.retryable) INTO held
            FROM {schema}.tally t WHERE t.queue = new.queue;
    END IF;
    IF held >= most THEN
        RETURN {schema}.refused('HL005',
            'queue ' || name || ' holds ' || held || ' tasks; its max_tasks is ' || most,
            'Try again later, or raise max_tasks.');
    END IF;
    RETURN NULL;
END
$$;

-- Stores a task, or says which one stands for it, or why none does.
CREATE FUNCTION {schema}.accept(new {schema}.task, queue text) RETURNS {schema}.answer
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    answer {schema}.answer;
BEGIN
    new.queue := {schema}.queue_no(queue);
    LOOP
        answer := {schema}.meet_id(new);
        IF answer IS NULL AND new.unique_key IS NOT NULL THEN
            answer := {schema}.meet_key(new);
        END IF;
        IF answer IS NULL THEN
            answer := {schema}.check_room(new, queue);
        END IF;
        IF NOT answer IS NULL THEN
            RETURN answer;
        END IF;
        EXIT WHEN {schema}.take_key(new);
    END LOOP;
    INSERT INTO {schema}.task (id, enqueued_at, due_at, place, epoch, wake_at, expires_at, queue,
            state, priority, kind, payload, content_type, max_attempts, timeout, backoff, retain,
            expires_in, headers, labels, unique_key, unique_window, unique_until, unique_conflict)
        VALUES (new.id, new.enqueued_at, new.due_at, nextval('{schema}.place'), new.epoch,
            new.wake_at, new.expires_at, new.queue, new.state, new.priority, new.kind, new.payload,
            new.content_type, new.max_attempts, new.timeout, new.backoff, new.retain,
            new.expires_in, new.headers, new.labels, new.unique_key, new.unique_window,
            new.unique_until, new.unique_conflict)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM {schema}.refuse('40001', 'task ' || new.id || ' was handed over twice at once',
            'Begin the transaction again.');
    END IF;
    INSERT INTO {schema}.tally (queue, scheduled, available, accepted)
        VALUES (new.queue, 1 - new.state, new.state, 1);
    answer.id := new.id;
    answer.inserted := true;
    answer.state := CASE new.state WHEN 0 THEN 'scheduled' ELSE 'available' END;
    RETURN answer;
END
$$;

-- The task that stands for a request; an error if none does.
CREATE FUNCTION {schema}.accepted(answer {schema}.answer) RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF answer.code IS NOT NULL THEN
        PERFORM {schema}.refuse(answer.code, answer.message, answer.hint);
    END IF;
    RETURN answer.id;
END
$$;

-- Hands over a task; the id of the task that now stands for the request, which is another one only
-- if that one holds the unique key.
CREATE FUNCTION {schema}.enqueue(
    kind text, payload jsonb DEFAULT 'null', queue text DEFAULT 'default',
    priority integer DEFAULT 4, delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL,
    id uuid DEFAULT NULL, unique_key text DEFAULT NULL, unique_for interval DEFAULT NULL,
    unique_until text DEFAULT 'finish', on_conflict text DEFAULT 'return',
    max_attempts integer DEFAULT NULL, timeout interval DEFAULT NULL,
    backoff jsonb DEFAULT NULL, expires_in interval DEFAULT NULL, retain interval DEFAULT NULL,
    headers jsonb DEFAULT NULL, labels jsonb DEFAULT NULL
) RETURNS uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
SELECT {schema}.accepted({schema}.accept({schema}.new_task(
    enqueue.kind, convert_to(coalesce(payload, 'null')::text, 'UTF8'), 'application/json',
    enqueue.queue, priority, delay, {schema}.moment('run_at', run_at), id,
    {schema}.escape(unique_key), unique_for, unique_until, on_conflict, max_attempts, timeout,
    {schema}.backoff(backoff), expires_in, retain, {schema}.pairs('headers', headers),
    {schema}.pairs('labels', labels), {schema}.bytes_max()), enqueue.queue))
$$;

-- The same for a payload that is not JSON, or whose bytes have to stay as they are.
CREATE FUNCTION {schema}.enqueue_bytes(
    kind text, payload bytea, content_type text DEFAULT 'application/octet-stream',
    queue text DEFAULT 'default', priority integer DEFAULT 4, delay interval DEFAULT NULL,
    run_at timestamptz DEFAULT NULL, id uuid DEFAULT NULL, unique_key text DEFAULT NULL,
    unique_for interval DEFAULT NULL, unique_until text DEFAULT 'finish',
    on_conflict text DEFAULT 'return', max_attempts integer DEFAULT NULL,
    timeout interval DEFAULT NULL, backoff jsonb DEFAULT NULL, expires_in interval DEFAULT NULL,
    retain interval DEFAULT NULL, headers jsonb DEFAULT NULL, labels jsonb DEFAULT NULL
) RETURNS uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
SELECT {schema}.accepted({schema}.accept({schema}.new_task(
    enqueue_bytes.kind, coalesce(payload, ''), content_type, enqueue_bytes.queue, priority, delay,
    {schema}.moment('run_at', run_at), id, {schema}.escape(unique_key), unique_for, unique_until,
    on_conflict, max_attempts, timeout, {schema}.backoff(backoff), expires_in, retain,
    {schema}.pairs('headers', headers), {schema}.pairs('labels', labels), {schema}.bytes_max()),
    enqueue_bytes.queue))
$$;

-- Hands over many: an array of objects with the fields of the HTTP API. All or none; one answer
-- each, in the same order.
CREATE FUNCTION {schema}.enqueue_many(tasks jsonb) RETURNS SETOF uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    one jsonb;
    key jsonb;
    at integer := 0;
    code text;
    message text;
    hint text;
BEGIN
    IF jsonb_typeof(tasks) IS DISTINCT FROM 'array' THEN
        PERFORM {schema}.refuse('HL001', 'tasks is no array',
            'Give [{"kind": "email.send"}, …].');
    END IF;
    FOR one IN SELECT jsonb_array_elements(tasks) LOOP
        PERFORM {schema}.only_known('a task', one, '{kind, id, queue, payload, payload_base64,
            content_type, headers, labels, priority, delay, run_at, max_attempts, backoff, timeout,
            expires_in, unique, retain}');
        key := one -> 'unique';
        IF key <> 'null' THEN
            PERFORM {schema}.only_known('unique', key, '{key,for,until,on_conflict}');
        END IF;
        RETURN NEXT {schema}.accepted({schema}.accept({schema}.new_task(
            one ->> 'kind',
            coalesce(decode(one ->> 'payload_base64', 'base64'),
                convert_to(coalesce(one -> 'payload', 'null')::text, 'UTF8')),
            coalesce(one ->> 'content_type', CASE WHEN one ? 'payload_base64'
                THEN 'application/octet-stream' ELSE 'application/json' END),
            coalesce(one ->> 'queue', 'default'), (one ->> 'priority')::integer,
            (one ->> 'delay')::interval, {schema}.moment('run_at', (one ->> 'run_at')::timestamptz),
            (one ->> 'id')::uuid,
            {schema}.escape(key ->> 'key'), (key ->> 'for')::interval, key ->> 'until',
            key ->> 'on_conflict', (one ->> 'max_attempts')::integer,
            (one ->> 'timeout')::interval, {schema}.backoff(one -> 'backoff'),
            (one ->> 'expires_in')::interval, (one ->> 'retain')::interval,
            {schema}.pairs('headers', one -> 'headers'), {schema}.pairs('labels', one -> 'labels'),
            {schema}.bytes_max()), coalesce(one ->> 'queue', 'default')));
        at := at + 1;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = format('tasks[%s]: %s', at, message),
        HINT = coalesce(nullif(hint, ''), 'Nothing was handed over.');
END
$$;

-- What the library calls in a transaction of an application. It says why a task is refused, and
-- leaves the transaction as it was, where the others raise an error.
CREATE FUNCTION {schema}.try_enqueue(
    kind text, payload bytea, content_type text, queue text, priority integer, delay bigint,
    run_at bigint, id uuid, unique_key text, unique_for bigint, unique_until text,
    on_conflict text, max_attempts integer, timeout bigint, backoff bigint[], expires_in bigint,
    retain bigint, headers text[], labels text[], bytes_max bigint
) RETURNS {schema}.answer
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
SELECT {schema}.accept({schema}.new_task(
    try_enqueue.kind, payload, content_type, try_enqueue.queue, priority,
    delay * interval '1 millisecond', run_at, id, unique_key,
    unique_for * interval '1 millisecond', unique_until, on_conflict, max_attempts,
    timeout * interval '1 millisecond', backoff, expires_in * interval '1 millisecond',
    retain * interval '1 millisecond', headers, labels, bytes_max), try_enqueue.queue)
$$;
