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

CREATE FUNCTION {schema}.refuse(code text, message text, hint text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, HINT = hint;
END
$$;

-- A text as it may stand in an error.
CREATE FUNCTION {schema}.shown(given text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT '"' || left(regexp_replace(given, '[[:cntrl:]]', '?', 'g'), 40) || '"' $$;

-- A text as it stands in a table: the mark that stands there for what PostgreSQL cannot keep is
-- itself marked.
CREATE FUNCTION {schema}.escape(given text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT replace(given, chr(1114111), chr(1114111) || '1') $$;

-- A span in milliseconds, at most ten years.
CREATE FUNCTION {schema}.millis(what text, span interval) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    ms numeric := round((extract(epoch FROM span) * 1000)::numeric);
BEGIN
    IF ms < 0 THEN
        PERFORM {schema}.refuse('HL001', what || ' is below zero',
            'Give a span that is not negative.');
    ELSIF ms > 315619200000 THEN
        PERFORM {schema}.refuse('HL001', what || ' is more than ten years', 'Give a shorter span.');
    END IF;
    RETURN ms;
END
$$;

CREATE FUNCTION {schema}.check_name(what text, name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF coalesce(name, '') = '' THEN
        PERFORM {schema}.refuse('HL001', what || ' is empty', 'Give it a name such as mail.');
    ELSIF octet_length(name) > 128 THEN
        PERFORM {schema}.refuse('HL001', what || ' has ' || octet_length(name) || ' bytes',
            'At most 128 are allowed.');
    ELSIF name COLLATE "C" !~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' THEN
        PERFORM {schema}.refuse('HL001', what || ' ' || {schema}.shown(name) || ' is not a name',
            'Use letters, digits, ".", "_", "-", beginning with a letter or digit.');
    END IF;
END
$$;

-- The bytes of a payload or result, and what they are.
CREATE FUNCTION {schema}.check_bytes(what text, bytes bytea, content_type text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    -- Servers have their own setting; here it is ALTER DATABASE … SET haulier.payload_bytes_max.
    most bigint := least(16777216,
        coalesce(nullif(current_setting('haulier.payload_bytes_max', true), '')::bigint, 1048576));
BEGIN
    IF octet_length(bytes) > most THEN
        PERFORM {schema}.refuse('HL002',
            what || ' has ' || octet_length(bytes) || ' bytes; at most ' || most || ' are allowed',
            'Store it elsewhere and send a reference, or raise haulier.payload_bytes_max.');
    ELSIF content_type COLLATE "C" !~ '^[ -~]{1,128}$' THEN
        PERFORM {schema}.refuse('HL001', 'content_type ' || {schema}.shown(content_type)
            || ' is no content type', 'Give 1 to 128 printable ASCII characters.');
    END IF;
END
$$;

-- Headers or labels: an object of texts, as name, value, name, value.
CREATE FUNCTION {schema}.pairs(what text, given jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    flat text[] := '{}';
    pair record;
BEGIN
    IF given IN ('{}', 'null') THEN
        RETURN NULL;
    ELSIF jsonb_typeof(given) <> 'object' THEN
        PERFORM {schema}.refuse('HL001', what || ' is no object',
            'Give names and texts, as in {"tenant": "acme"}.');
    END IF;
    FOR pair IN SELECT key AS name, value FROM jsonb_each(given) LOOP
        IF jsonb_typeof(pair.value) <> 'string' THEN
            PERFORM {schema}.refuse('HL001', what || ': the value of ' || {schema}.shown(pair.name)
                || ' is no text', 'Values are texts; write numbers in quotes.');
        ELSIF octet_length(pair.name) NOT BETWEEN 1 AND 128 THEN
            PERFORM {schema}.refuse('HL001', what || ': name ' || {schema}.shown(pair.name)
                || ' has ' || octet_length(pair.name) || ' bytes', 'A name has 1 to 128 bytes.');
        -- Printable, and none of space " ' :
        ELSIF pair.name COLLATE "C" !~ '^[!#-&(-9;-~]+$' THEN
            PERFORM {schema}.refuse('HL001', what || ': name ' || {schema}.shown(pair.name)
                || ' has a space, quote, colon or control character',
                'Use other printable ASCII characters.');
        END IF;
        flat := flat || ARRAY[pair.name, {schema}.escape(pair.value #>> '{}')];
    END LOOP;
    IF cardinality(flat) > 64 THEN
        PERFORM {schema}.refuse('HL002', what || ' has ' || cardinality(flat) / 2 || ' entries',
            'At most 32 are allowed.');
    END IF;
    RETURN flat;
END
$$;

CREATE FUNCTION {schema}.check_headers(headers text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    bytes bigint := octet_length(array_to_string(headers, ''));
BEGIN
    IF bytes > 16384 THEN
        PERFORM {schema}.refuse('HL002', 'headers has ' || bytes || ' bytes in all',
            'At most 16384 are allowed; larger things belong into the payload.');
    END IF;
END
$$;

CREATE FUNCTION {schema}.check_labels(labels text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    bytes integer;
BEGIN
    FOR n IN 1 .. cardinality(labels) / 2 LOOP
        bytes := octet_length(labels[2 * n - 1]) + octet_length(labels[2 * n]);
        IF bytes > 256 THEN
            PERFORM {schema}.refuse('HL002', 'label ' || {schema}.shown(labels[2 * n - 1])
                || ' has ' || bytes || ' bytes with its value', 'At most 256 are allowed.');
        END IF;
    END LOOP;
END
$$;

-- The pause between attempts: {"base": "1s", "max": "1h", "factor": 2, "jitter": 0.2}.
CREATE FUNCTION {schema}.check_backoff(given jsonb) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    base bigint := {schema}.millis('backoff.base', coalesce(given ->> 'base', '1s')::interval);
    most bigint := {schema}.millis('backoff.max', coalesce(given ->> 'max', '1h')::interval);
    factor bigint := round(coalesce((given ->> 'factor')::numeric, 2) * 1000);
    jitter bigint := round(coalesce((given ->> 'jitter')::numeric, 0.2) * 1000);
BEGIN
    IF given = 'null' THEN
        RETURN NULL;
    END IF;
    PERFORM {schema}.only_known('backoff', given, '{base,max,factor,jitter}');
    IF factor NOT BETWEEN 1000 AND 100000 THEN
        PERFORM {schema}.refuse('HL001', 'backoff.factor is ' || (given ->> 'factor'),
            'It goes from 1 to 100.');
    ELSIF jitter NOT BETWEEN 0 AND 1000 THEN
        PERFORM {schema}.refuse('HL001', 'backoff.jitter is ' || (given ->> 'jitter'),
            'It goes from 0 to 1.');
    END IF;
    RETURN ARRAY[base, most, factor, jitter];
END
$$;

-- A field that nobody reads would be a wish that nobody fulfils.
CREATE FUNCTION {schema}.only_known(what text, given jsonb, known text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    stranger text;
BEGIN
    IF jsonb_typeof(given) <> 'object' THEN
        PERFORM {schema}.refuse('HL001', what || ' is no object',
            'Give an object with some of the fields ' || array_to_string(known, ', ') || '.');
    END IF;
    SELECT key INTO stranger FROM jsonb_object_keys(given) AS key WHERE key <> ALL (known) LIMIT 1;
    IF FOUND THEN
        PERFORM {schema}.refuse('HL001', what || ' has no field ' || {schema}.shown(stranger),
            'Its fields are ' || array_to_string(known, ', ') || '.');
    END IF;
END
$$;

-- The numbers of a task that is handed over.
CREATE FUNCTION {schema}.check_numbers(new {schema}.task) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF new.priority NOT BETWEEN 0 AND 9 THEN
        PERFORM {schema}.refuse('HL001', 'priority is ' || new.priority, 'It goes from 0 to 9.');
    ELSIF new.max_attempts NOT BETWEEN 1 AND 1000 THEN
        PERFORM {schema}.refuse('HL001', 'max_attempts is ' || new.max_attempts,
            'It goes from 1 to 1000.');
    ELSIF new.timeout NOT BETWEEN 1 AND 2592000000 THEN
        PERFORM {schema}.refuse('HL001', 'timeout is ' || new.timeout || ' ms',
            'It must be above zero and at most 30 days.');
    ELSIF new.expires_in = 0 THEN
        PERFORM {schema}.refuse('HL001', 'expires_in is zero',
            'It must be above zero, or the task could never start.');
    ELSIF octet_length(new.unique_key) NOT BETWEEN 1 AND 256 THEN
        PERFORM {schema}.refuse('HL001',
            'unique_key has ' || octet_length(new.unique_key) || ' bytes', 'It must have 1 to 256.');
    END IF;
END
$$;

-- Which of these words it is.
CREATE FUNCTION {schema}.word(what text, given text, known text[]) RETURNS smallint
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
BEGIN
    IF given <> ALL (known) THEN
        PERFORM {schema}.refuse('HL001', what || ' is ' || {schema}.shown(given),
            'It is one of ' || array_to_string(known, ', ') || '.');
    END IF;
    RETURN array_position(known, given) - 1;
END
$$;

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

-- The row of a task that is handed over, checked, and not stored yet; its queue is still a name.
CREATE FUNCTION {schema}.new_task(
    kind text, payload bytea, content_type text, queue text, priority integer, delay interval,
    run_at timestamptz, id uuid, unique_key text, unique_for interval, unique_until text,
    on_conflict text, max_attempts integer, timeout interval, backoff jsonb, expires_in interval,
    retain interval, headers jsonb, labels jsonb
) RETURNS {schema}.task
    LANGUAGE plpgsql VOLATILE
    AS $$
#variable_conflict use_variable
DECLARE
    new {schema}.task;
    times record;
    later bigint := {schema}.millis('delay', delay);
BEGIN
    SELECT n.wall, n.epoch_floor INTO times FROM {schema}.now n;
    PERFORM {schema}.check_name('queue', queue);
    PERFORM {schema}.check_name('kind', kind);
    PERFORM {schema}.check_bytes('payload', payload, content_type);
    new.id := coalesce(id, {schema}.new_id(times.wall));
    new.kind := kind;
    new.payload := payload;
    new.content_type := nullif(content_type, 'application/json');
    new.headers := {schema}.pairs('headers', headers);
    PERFORM {schema}.check_headers(new.headers);
    new.labels := {schema}.pairs('labels', labels);
    PERFORM {schema}.check_labels(new.labels);
    new.priority := coalesce(priority, 4);
    new.max_attempts := max_attempts;
    new.timeout := {schema}.millis('timeout', timeout);
    new.backoff := {schema}.check_backoff(backoff);
    new.expires_in := {schema}.millis('expires_in', expires_in);
    new.retain := {schema}.millis('retain', retain);
    new.unique_key := {schema}.escape(unique_key);
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
    ELSIF NOT isfinite(run_at) THEN
        PERFORM {schema}.refuse('HL001', 'run_at is infinite', 'Give a moment that comes.');
    END IF;
    new.enqueued_at := times.wall;
    -- A time that has passed is no way to the head of the line.
    new.due_at := greatest(times.wall + coalesce(later, 0),
        floor((extract(epoch FROM run_at) * 1000)::numeric)::bigint);
    new.state := CASE WHEN new.due_at <= times.wall THEN 1 ELSE 0 END;
    -- Not in line: a server brings it there when it sees it.
    new.wake_at := new.due_at;
    new.expires_at := times.wall + new.expires_in;
    new.epoch := times.epoch_floor;
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

-- Where a task stands: its state in one word; null if only its id is still known.
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

-- The task with the id of a new one, which must be the same work.
CREATE FUNCTION {schema}.meet_id(new {schema}.task) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    known {schema}.task;
BEGIN
    SELECT * INTO known FROM {schema}.task t WHERE t.id = new.id;
    IF NOT FOUND THEN
        RETURN false;
    ELSIF {schema}.state_of(known.id) IS NOT NULL
        AND (known.queue, known.kind, known.payload, known.content_type) IS DISTINCT FROM
            (new.queue, new.kind, new.payload, new.content_type)
    THEN
        PERFORM {schema}.refuse('HL003',
            'task ' || new.id || ' exists with another queue, kind or payload', 'Use a new id.');
    END IF;
    RETURN true;
END
$$;

-- Gives a new task its unique key, unless another task holds it: then the answer is that one.
CREATE FUNCTION {schema}.take_key(new {schema}.task) RETURNS uuid
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    other uuid;
    holder {schema}.task;
    state text;
    started boolean;
BEGIN
    LOOP
        INSERT INTO {schema}.holder (queue, key, task) VALUES (new.queue, new.unique_key, new.id)
            ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        SELECT h.task INTO other FROM {schema}.holder h
            WHERE h.queue = new.queue AND h.key = new.unique_key FOR UPDATE;
        EXIT WHEN FOUND;
    END LOOP;
    SELECT * INTO holder FROM {schema}.task t WHERE t.id = other;
    state := {schema}.state_of(other);
    started := holder.started OR state = 'running';
    IF state IS NULL OR holder.enqueued_at + holder.unique_window <= new.enqueued_at
        AND (holder.state > 3 OR holder.unique_until = 0 AND started)
    THEN
        NULL; -- It holds the key no more.
    ELSIF new.unique_conflict = 1 THEN
        PERFORM {schema}.refuse('HL004', 'the unique key is held by task ' || other,
            'Enqueue with on_conflict => ''return'' to get that task instead.');
    ELSIF new.unique_conflict = 0 OR started THEN
        RETURN other;
    ELSIF holder.state <= 3 THEN
        -- To take a waiting task out of its line would hold up the whole queue until the
        -- application commits.
        PERFORM {schema}.refuse('HL008',
            'task ' || other || ' waits, and cannot be replaced in a transaction',
            'Cancel it first, or enqueue with on_conflict replace outside of a transaction.');
    END IF;
    UPDATE {schema}.holder h SET task = new.id
        WHERE h.queue = new.queue AND h.key = new.unique_key;
    RETURN NULL;
END
$$;

-- What is committed counts: transactions that are open at the same time may exceed it together.
CREATE FUNCTION {schema}.check_room(new {schema}.task, name text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    most bigint;
    held bigint;
BEGIN
    SELECT q.max_tasks INTO most FROM {schema}.queue q WHERE q.no = new.queue;
    IF most IS NULL THEN
        RETURN;
    END IF;
    SELECT sum(t.scheduled + t.available + t.running + t.retryable) INTO held
        FROM {schema}.tally t WHERE t.queue = new.queue;
    IF held >= most THEN
        PERFORM {schema}.refuse('HL005',
            'queue ' || name || ' holds ' || held || ' tasks; its max_tasks is ' || most,
            'Try again later, or raise max_tasks.');
    END IF;
END
$$;

-- Stores a task, or finds the one that stands for it.
CREATE FUNCTION {schema}.accept(new {schema}.task, queue text) RETURNS uuid
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    other uuid;
BEGIN
    new.queue := {schema}.queue_no(queue);
    LOOP
        IF {schema}.meet_id(new) THEN
            RETURN new.id;
        END IF;
        other := CASE WHEN new.unique_key IS NOT NULL THEN {schema}.take_key(new) END;
        IF other IS NOT NULL THEN
            RETURN other;
        END IF;
        PERFORM {schema}.check_room(new, queue);
        INSERT INTO {schema}.task (id, enqueued_at, due_at, place, epoch, wake_at, expires_at,
                queue, state, priority, kind, payload, content_type, max_attempts, timeout, backoff,
                retain, expires_in, headers, labels, unique_key, unique_window, unique_until,
                unique_conflict)
            VALUES (new.id, new.enqueued_at, new.due_at, nextval('{schema}.place'), new.epoch,
                new.wake_at, new.expires_at, new.queue, new.state, new.priority, new.kind,
                new.payload, new.content_type, new.max_attempts, new.timeout, new.backoff,
                new.retain, new.expires_in, new.headers, new.labels, new.unique_key,
                new.unique_window, new.unique_until, new.unique_conflict)
            ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        -- Another transaction has committed the same id just now.
    END LOOP;
    INSERT INTO {schema}.tally (queue, scheduled, available, accepted)
        VALUES (new.queue, 1 - new.state, new.state, 1);
    RETURN new.id;
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
SELECT {schema}.accept({schema}.new_task(
    enqueue.kind, convert_to(coalesce(payload, 'null')::text, 'UTF8'), 'application/json',
    enqueue.queue, priority, delay, run_at, id, unique_key, unique_for, unique_until, on_conflict,
    max_attempts, timeout, backoff, expires_in, retain, headers, labels), enqueue.queue)
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
SELECT {schema}.accept({schema}.new_task(
    enqueue_bytes.kind, coalesce(payload, ''), content_type, enqueue_bytes.queue, priority, delay,
    run_at, id, unique_key, unique_for, unique_until, on_conflict, max_attempts, timeout, backoff,
    expires_in, retain, headers, labels), enqueue_bytes.queue)
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
        PERFORM {schema}.refuse('HL001', 'tasks is no array', 'Give [{"kind": "email.send"}, …].');
    END IF;
    FOR one IN SELECT jsonb_array_elements(tasks) LOOP
        PERFORM {schema}.only_known('a task', one, '{kind, id, queue, payload, payload_base64,
            content_type, headers, labels, priority, delay, run_at, max_attempts, backoff, timeout,
            expires_in, unique, retain}');
        key := one -> 'unique';
        IF jsonb_typeof(key) = 'object' THEN
            PERFORM {schema}.only_known('unique', key, '{key,for,until,on_conflict}');
        END IF;
        RETURN NEXT {schema}.accept({schema}.new_task(
            one ->> 'kind',
            coalesce(decode(one ->> 'payload_base64', 'base64'),
                convert_to(coalesce(one -> 'payload', 'null')::text, 'UTF8')),
            coalesce(one ->> 'content_type', CASE WHEN one ? 'payload_base64'
                THEN 'application/octet-stream' ELSE 'application/json' END),
            coalesce(one ->> 'queue', 'default'), coalesce((one ->> 'priority')::integer, 4),
            (one ->> 'delay')::interval, (one ->> 'run_at')::timestamptz, (one ->> 'id')::uuid,
            key ->> 'key', (key ->> 'for')::interval, coalesce(key ->> 'until', 'finish'),
            coalesce(key ->> 'on_conflict', 'return'), (one ->> 'max_attempts')::integer,
            (one ->> 'timeout')::interval, one -> 'backoff', (one ->> 'expires_in')::interval,
            (one ->> 'retain')::interval, one -> 'headers', one -> 'labels'),
            coalesce(one ->> 'queue', 'default'));
        at := at + 1;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = format('tasks[%s]: %s', at, message),
        HINT = coalesce(nullif(hint, ''), 'Nothing was handed over.');
END
$$;
