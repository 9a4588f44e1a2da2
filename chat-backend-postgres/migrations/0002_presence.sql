-- Who is online. Unlogged: nothing here is worth a flush of the disk, and after a crash of the server all of it is empty,
-- which is the truth as far as anybody knows. Nodes notice when they renew their leases, and register again.
--
-- What a lease's end does to its connections is not written down when it happens: a connection is live while its lease's
-- `ends` lies in the future, and whoever asks finds out so. `presence_sweep` takes the dead ones away afterwards.
--
-- Locks are taken in one order: a lease, then a connection, then users by name. Who takes several leases or connections
-- takes only those that nobody holds. So nobody waits in a circle.

-- A life of a node's lease. A lease that ran out is never renewed: the next renewal begins a new life.
CREATE UNLOGGED TABLE presence_leases (
    life        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node        text    COLLATE "C" NOT NULL,
    incarnation bigint  NOT NULL,               -- unsigned, the sign bit turned
    ends        bigint  NOT NULL,               -- milliseconds since 1970, as every time
    longest     bigint  NOT NULL,               -- the longest time that it was renewed for
    latest      boolean NOT NULL DEFAULT true
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX presence_leases_node ON presence_leases (node) WHERE latest;

CREATE UNLOGGED TABLE presence_connections (
    connection  text   COLLATE "C" PRIMARY KEY,
    "user"      text   COLLATE "C",             -- this and the next two: NULL when only the end is remembered
    incarnation bigint,
    life        bigint,                         -- of its lease
    ended       bigint,                         -- the greatest incarnation that was ended by name
    ended_until bigint                          -- when that may be forgotten
) WITH (fillfactor = 80);
CREATE INDEX presence_connections_user ON presence_connections ("user") WHERE life IS NOT NULL;
CREATE INDEX presence_connections_life ON presence_connections (life) WHERE life IS NOT NULL;
CREATE INDEX presence_connections_ended ON presence_connections (ended_until) WHERE life IS NULL;

CREATE UNLOGGED TABLE presence_users (
    "user"    text    COLLATE "C" PRIMARY KEY,
    announced boolean NOT NULL DEFAULT false,   -- told to others as online
    since     bigint,                           -- when the first of the connections without a break came
    left_at   bigint                            -- when the last connection went, if there is none as far as is written down
) WITH (fillfactor = 80);
CREATE INDEX presence_users_left ON presence_users (left_at) WHERE announced AND left_at IS NOT NULL;

CREATE FUNCTION now_millis() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- How long an end is remembered: as long as the longest lease, and at least as long as the usual one.
CREATE FUNCTION presence_memory() RETURNS bigint LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$ SELECT greatest(60000, max(longest)) FROM presence_leases $$;

-- 0 renewed, 1 started, 2 superseded.
CREATE FUNCTION presence_renew(p_node text, p_incarnation bigint, p_ttl bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
    v_held presence_leases;
    v_now bigint;
BEGIN
    LOOP
        SELECT * INTO v_held FROM presence_leases WHERE node = p_node AND latest FOR NO KEY UPDATE;
        v_now := now_millis();
        IF v_held.life IS NOT NULL THEN
            IF v_held.incarnation > p_incarnation AND v_held.ends + presence_memory() > v_now THEN
                RETURN 2;
            END IF;
            IF v_held.incarnation = p_incarnation AND v_held.ends > v_now THEN
                UPDATE presence_leases SET ends = v_now + p_ttl, longest = greatest(longest, p_ttl)
                WHERE life = v_held.life;
                RETURN 0;
            END IF;
            UPDATE presence_leases SET ends = least(ends, v_now), latest = false WHERE life = v_held.life;
        END IF;
        INSERT INTO presence_leases (node, incarnation, ends, longest)
        VALUES (p_node, p_incarnation, v_now + p_ttl, p_ttl)
        ON CONFLICT (node) WHERE latest DO NOTHING;
        IF FOUND THEN
            RETURN 1;
        END IF;
        -- Another call began it meanwhile.
    END LOOP;
END $$;

-- A user whose row is locked has a connection less, which ended at `p_at`.
CREATE FUNCTION presence_lose(p_user text, p_at bigint, p_now bigint) RETURNS void
LANGUAGE sql VOLATILE SET search_path FROM CURRENT
AS $$
    -- Nobody was last seen before they came, whatever the clock did meanwhile.
    UPDATE presence_users SET left_at = greatest(left_at, p_at, since)
    WHERE "user" = p_user AND NOT EXISTS (
        SELECT 1 FROM presence_connections c JOIN presence_leases l ON l.life = c.life
        WHERE c."user" = p_user AND l.ends > p_now)
$$;

-- 0 came online, 1 noted, 2 stale.
CREATE FUNCTION presence_connected(
    p_user text, p_connection text, p_incarnation bigint, p_node text, p_lease bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
    v_life bigint;
    v_known presence_connections;
    v_known_ends bigint;
    v_alive boolean := false;
    v_user presence_users;
    v_name text;
    v_online boolean;
    v_now bigint;
BEGIN
    SELECT life INTO v_life FROM presence_leases
    WHERE node = p_node AND latest AND incarnation = p_lease AND ends > now_millis();
    IF v_life IS NULL THEN
        -- It may be just under renewal.
        SELECT life INTO v_life FROM presence_leases
        WHERE node = p_node AND latest AND incarnation = p_lease AND ends > now_millis() FOR SHARE;
        IF v_life IS NULL THEN
            RETURN 2;
        END IF;
    END IF;
    LOOP
        INSERT INTO presence_connections (connection, "user", incarnation, life)
        VALUES (p_connection, p_user, p_incarnation, v_life)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        SELECT * INTO v_known FROM presence_connections WHERE connection = p_connection FOR UPDATE;
        EXIT WHEN FOUND;
        -- It was cleaned up meanwhile.
    END LOOP;
    v_now := now_millis();
    IF v_known.ended >= p_incarnation AND v_known.ended_until > v_now THEN
        RETURN 2;
    END IF;
    IF v_known.life IS NOT NULL THEN
        SELECT ends INTO v_known_ends FROM presence_leases WHERE life = v_known.life;
        v_alive := coalesce(v_known_ends > v_now, false);
        IF v_alive AND v_known.incarnation >= p_incarnation THEN
            RETURN CASE WHEN v_known.incarnation = p_incarnation AND v_known."user" = p_user AND v_known.life = v_life
                THEN 1 ELSE 2 END;
        END IF;
    END IF;
    FOR v_name IN
        SELECT DISTINCT n COLLATE "C" FROM unnest(ARRAY[p_user, v_known."user"]) AS u(n) WHERE n IS NOT NULL ORDER BY 1
    LOOP
        INSERT INTO presence_users ("user") VALUES (v_name) ON CONFLICT DO NOTHING;
        PERFORM 1 FROM presence_users WHERE "user" = v_name FOR UPDATE;
    END LOOP;
    v_now := now_millis();
    SELECT * INTO v_user FROM presence_users WHERE "user" = p_user;
    -- The new life counts before the old one goes, so that `since` goes on.
    v_online := (v_alive AND v_known."user" = p_user) OR EXISTS (
        SELECT 1 FROM presence_connections c JOIN presence_leases l ON l.life = c.life
        WHERE c."user" = p_user AND c.connection <> p_connection AND l.ends > v_now);
    IF NOT (v_online AND v_user.announced AND v_user.left_at IS NULL) THEN
        UPDATE presence_users
        SET announced = true, since = CASE WHEN v_online THEN since ELSE v_now END, left_at = NULL
        WHERE "user" = p_user;
    END IF;
    IF v_known.connection IS NOT NULL THEN
        UPDATE presence_connections SET "user" = p_user, incarnation = p_incarnation, life = v_life
        WHERE connection = p_connection;
        IF v_known."user" <> p_user THEN
            PERFORM presence_lose(v_known."user", CASE WHEN v_alive THEN v_now ELSE v_known_ends END, v_now);
        END IF;
    END IF;
    RETURN CASE WHEN v_user.announced THEN 1 ELSE 0 END;
END $$;

-- 1 noted, 2 stale.
CREATE FUNCTION presence_disconnected(p_connection text, p_incarnation bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
    v_known presence_connections;
    v_known_ends bigint;
    v_alive boolean := false;
    v_now bigint;
BEGIN
    LOOP
        -- Also for one that was never seen: its beginning may still be on its way.
        INSERT INTO presence_connections (connection, ended, ended_until)
        VALUES (p_connection, p_incarnation, now_millis() + presence_memory())
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN 1;
        END IF;
        SELECT * INTO v_known FROM presence_connections WHERE connection = p_connection FOR UPDATE;
        EXIT WHEN FOUND;
    END LOOP;
    v_now := now_millis();
    IF v_known.ended_until <= v_now THEN
        v_known.ended := NULL;
    END IF;
    IF v_known.ended >= p_incarnation THEN
        RETURN 2;
    END IF;
    IF v_known.life IS NOT NULL THEN
        SELECT ends INTO v_known_ends FROM presence_leases WHERE life = v_known.life;
        v_alive := coalesce(v_known_ends > v_now, false);
        IF v_alive AND v_known.incarnation > p_incarnation THEN
            RETURN 2;
        END IF;
    END IF;
    UPDATE presence_connections SET
        "user" = NULL, incarnation = NULL, life = NULL,
        ended = greatest(v_known.ended, p_incarnation),
        ended_until = greatest(ended_until, v_now + presence_memory())
    WHERE connection = p_connection;
    IF v_known.life IS NOT NULL THEN
        PERFORM 1 FROM presence_users WHERE "user" = v_known."user" FOR UPDATE;
        v_now := now_millis();
        PERFORM presence_lose(v_known."user", CASE WHEN v_alive THEN v_now ELSE v_known_ends END, v_now);
    END IF;
    RETURN 1;
END $$;

-- Users who are offline for others from now on, and when they were last seen; at most `p_limit`. A row without a user says
-- that there is more to do.
CREATE FUNCTION presence_sweep(p_grace bigint, p_limit integer) RETURNS TABLE (name text, seen bigint)
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
    v_now bigint := now_millis();
    v_lives bigint[];
    v_connections text[];
    v_users text[];
    v_ends bigint[];
    v_gone integer;
BEGIN
    -- A lease that somebody holds is just being renewed, or swept.
    WITH dead AS (
        SELECT l.life FROM presence_leases l
        WHERE l.ends <= v_now AND EXISTS (SELECT 1 FROM presence_connections c WHERE c.life = l.life)
        FOR NO KEY UPDATE SKIP LOCKED)
    SELECT array_agg(life) INTO v_lives FROM dead;
    IF v_lives IS NOT NULL THEN
        WITH dead AS (
            SELECT c.connection, c."user", l.ends
            FROM presence_connections c JOIN presence_leases l ON l.life = c.life
            WHERE c.life = ANY (v_lives) LIMIT p_limit
            FOR UPDATE OF c SKIP LOCKED)
        SELECT array_agg(connection), array_agg("user"), array_agg(ends) INTO v_connections, v_users, v_ends FROM dead;
        PERFORM 1 FROM presence_users WHERE "user" = ANY (v_users) ORDER BY "user" FOR UPDATE;
        UPDATE presence_users u SET left_at = greatest(u.left_at, e.ends, u.since)
        FROM (
            SELECT d."user", max(d.ends) AS ends FROM unnest(v_users, v_ends) AS d("user", ends) GROUP BY d."user") AS e
        WHERE u."user" = e."user" AND NOT EXISTS (
            SELECT 1 FROM presence_connections c JOIN presence_leases l ON l.life = c.life
            WHERE c."user" = u."user" AND l.ends > v_now);
        DELETE FROM presence_connections
        WHERE connection = ANY (v_connections) AND (ended IS NULL OR ended_until <= v_now);
        UPDATE presence_connections SET "user" = NULL, incarnation = NULL, life = NULL
        WHERE connection = ANY (v_connections);
    END IF;
    RETURN QUERY
        WITH gone AS (
            SELECT u."user" FROM presence_users u
            WHERE u.announced AND u.left_at <= v_now - p_grace AND NOT EXISTS (
                SELECT 1 FROM presence_connections c JOIN presence_leases l ON l.life = c.life
                WHERE c."user" = u."user" AND l.ends > v_now)
            LIMIT p_limit FOR UPDATE SKIP LOCKED)
        UPDATE presence_users u SET announced = false FROM gone WHERE u."user" = gone."user"
        RETURNING u."user", u.left_at;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    IF v_gone >= p_limit OR coalesce(cardinality(v_connections), 0) >= p_limit THEN
        RETURN QUERY SELECT NULL::text, NULL::bigint;
    END IF;
    -- What needs no remembering any more.
    DELETE FROM presence_connections WHERE connection IN (
        SELECT c.connection FROM presence_connections c
        WHERE c.life IS NULL AND c.ended_until <= v_now LIMIT p_limit FOR UPDATE SKIP LOCKED);
    DELETE FROM presence_leases WHERE life IN (
        SELECT l.life FROM presence_leases l
        WHERE l.ends + presence_memory() <= v_now
            AND NOT EXISTS (SELECT 1 FROM presence_connections c WHERE c.life = l.life)
        FOR UPDATE SKIP LOCKED);
END $$;
