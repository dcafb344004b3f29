-- What the functions for applications check: the same as the library. What is wrong is an error with
-- a SQLSTATE for programs and a hint for people.

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

-- Servers have their own setting; here it is ALTER DATABASE … SET haulier.payload_bytes_max.
CREATE FUNCTION {schema}.bytes_max() RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
SELECT coalesce(nullif(current_setting('haulier.payload_bytes_max', true), '')::bigint, 1048576)
$$;

-- The bytes of a payload or result, and what they are.
CREATE FUNCTION {schema}.check_bytes(what text, bytes bytea, content_type text, most bigint)
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF octet_length(bytes) > least(most, 16777216) THEN
        PERFORM {schema}.refuse('HL002', what || ' has ' || octet_length(bytes)
                || ' bytes; at most ' || least(most, 16777216) || ' are allowed',
            'Store it elsewhere and send a reference, or raise haulier.payload_bytes_max.');
    ELSIF content_type COLLATE "C" !~ '^[ -~]{1,128}$' THEN
        PERFORM {schema}.refuse('HL001', 'content_type ' || {schema}.shown(content_type)
            || ' is no content type', 'Give 1 to 128 printable ASCII characters.');
    END IF;
END
$$;

-- Headers or labels, from an object of texts to name, value, name, value.
CREATE FUNCTION {schema}.pairs(what text, given jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    stranger text;
BEGIN
    IF given = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(given) <> 'object' THEN
        PERFORM {schema}.refuse('HL001', what || ' is no object',
            'Give names and texts, as in {"tenant": "acme"}.');
    END IF;
    SELECT key INTO stranger FROM jsonb_each(given) WHERE jsonb_typeof(value) <> 'string' LIMIT 1;
    IF FOUND THEN
        PERFORM {schema}.refuse('HL001', what || ': the value of ' || {schema}.shown(stranger)
            || ' is no text', 'Values are texts; write numbers in quotes.');
    END IF;
    RETURN (SELECT array_agg(part ORDER BY pair, at)
        FROM jsonb_each_text(given) WITH ORDINALITY AS pairs (name, value, pair),
            unnest(ARRAY[name, {schema}.escape(value)]) WITH ORDINALITY AS parts (part, at));
END
$$;

CREATE FUNCTION {schema}.check_pairs(what text, pairs text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
    names text[] := ARRAY(
        SELECT pairs[2 * n - 1] FROM generate_series(1, cardinality(pairs) / 2) n);
    name text;
BEGIN
    IF cardinality(names) > 32 THEN
        PERFORM {schema}.refuse('HL002', what || ' has ' || cardinality(names) || ' entries',
            'At most 32 are allowed.');
    END IF;
    FOREACH name IN ARRAY names LOOP
        IF octet_length(name) NOT BETWEEN 1 AND 128 THEN
            PERFORM {schema}.refuse('HL001', what || ': name ' || {schema}.shown(name)
                || ' has ' || octet_length(name) || ' bytes', 'A name has 1 to 128 bytes.');
        -- Printable, and none of space " ' :
        ELSIF name COLLATE "C" !~ '^[!#-&(-9;-~]+$' THEN
            PERFORM {schema}.refuse('HL001', what || ': name ' || {schema}.shown(name)
                || ' has a space, quote, colon or control character',
                'Use other printable ASCII characters.');
        END IF;
    END LOOP;
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

-- The pause between attempts as numbers, from an object such as
-- {"base": "1s", "max": "1h", "factor": 2, "jitter": 0.2}.
CREATE FUNCTION {schema}.backoff(given jsonb) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
BEGIN
    IF given = 'null' THEN
        RETURN NULL;
    END IF;
    PERFORM {schema}.only_known('backoff', given, '{base, max, factor, jitter}');
    RETURN ARRAY[
        {schema}.millis('backoff.base', coalesce(given ->> 'base', '1s')::interval),
        {schema}.millis('backoff.max', coalesce(given ->> 'max', '1h')::interval),
        round(coalesce((given ->> 'factor')::numeric, 2) * 1000),
        round(coalesce((given ->> 'jitter')::numeric, 0.2) * 1000)];
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
    ELSIF new.backoff[3] NOT BETWEEN 1000 AND 100000 THEN
        PERFORM {schema}.refuse('HL001', 'backoff.factor is ' || new.backoff[3] / 1000.0,
            'It goes from 1 to 100.');
    ELSIF new.backoff[4] NOT BETWEEN 0 AND 1000 THEN
        PERFORM {schema}.refuse('HL001', 'backoff.jitter is ' || new.backoff[4] / 1000.0,
            'It goes from 0 to 1.');
    ELSIF octet_length(new.unique_key) NOT BETWEEN 1 AND 256 THEN
        PERFORM {schema}.refuse('HL001',
            'unique_key has ' || octet_length(new.unique_key) || ' bytes',
            'It must have 1 to 256.');
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
