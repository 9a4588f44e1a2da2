-- One row: the life of this store, and what tells that it is another one than before (see `src/epoch.rs`).
CREATE TABLE store (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch    text    NOT NULL,  -- part of every cursor
    cluster  bigint  NOT NULL,  -- PostgreSQL's system identifier
    timeline text    NOT NULL,  -- changes when a replica or a restored backup is promoted
    place    text    NOT NULL   -- the database's and this table's own number: changes when a dump or a copy is restored
);

CREATE TABLE rooms (
    room           bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text    COLLATE "C" NOT NULL UNIQUE,
    key            text    COLLATE "C" UNIQUE,
    active         boolean NOT NULL,
    max_body_chars integer NOT NULL,
    metadata       text    NOT NULL,
    created_at     bigint  NOT NULL,            -- every time: milliseconds since 1970
    head           bigint  NOT NULL DEFAULT 0,  -- the last position given out
    oldest         bigint  NOT NULL DEFAULT 1,  -- the first position kept
    countable      bigint  NOT NULL DEFAULT 0,  -- how many entries that can be unread were ever stored
    deleted        bigint  NOT NULL DEFAULT 0,  -- how many of them were deleted: mostly none, and then there is less to ask
    last_activity  bigint  NOT NULL DEFAULT 0,  -- when the newest entry of the timeline came; outlives it
    last_id        bigint  NOT NULL DEFAULT 0,  -- `id_high` of the newest entry; outlives it
    searchable     bigint  NOT NULL DEFAULT 0   -- up to and with this position, the search knows the entries
) WITH (fillfactor = 50);                       -- every append updates its room's row in place

CREATE TABLE members (
    room      bigint NOT NULL,
    "user"    text   COLLATE "C" NOT NULL,
    role      smallint,                         -- NULL: only a numbered removal was seen
    joined_at bigint,
    left_at   bigint,                           -- NULL while a member
    version   bigint NOT NULL,
    read      bigint NOT NULL,
    read_at   bigint,
    PRIMARY KEY (room, "user")
) WITH (fillfactor = 80);
CREATE INDEX members_rooms ON members ("user", room) WHERE role IS NOT NULL AND left_at IS NULL;

CREATE TABLE entries (
    room        bigint   NOT NULL,
    seq         bigint   NOT NULL,
    ordinal     bigint   NOT NULL,              -- countable entries of the room up to and with this one
    own         bigint   NOT NULL,              -- countable entries of this sender in the room, likewise
    id_high     bigint   NOT NULL,              -- message id: milliseconds and a counter of 16 bits
    id_low      bigint   NOT NULL,              -- message id: random
    target_seq  bigint,                         -- the entry that this one changes
    target_high bigint,                         -- its message id, named even after the target was trimmed
    target_low  bigint,
    edited_seq  bigint,
    edited_at   bigint,
    deleted_seq bigint,
    authority   smallint NOT NULL,
    kind        smallint NOT NULL,
    body_kind   smallint NOT NULL,              -- 0 none, 1 text, 2 JSON, 3 removed; 4 and 5: reaction put on, taken off
    timeline    boolean  NOT NULL,              -- stands for itself, not for a change of another entry
    countable   boolean  NOT NULL,              -- can be unread
    reacted     boolean  NOT NULL DEFAULT false, -- look into `reaction_keys`
    sender      text     COLLATE "C" NOT NULL,
    client_id   text     COLLATE "C" NOT NULL,
    fingerprint bytea    NOT NULL,              -- of the payload as it was sent
    name        text     COLLATE "C",           -- custom kind, reaction key, or who joined or left
    body        text,                           -- as it is now
    PRIMARY KEY (room, timeline, seq)
);
CREATE UNIQUE INDEX entries_copy ON entries (room, sender, client_id);
CREATE UNIQUE INDEX entries_id ON entries (id_high, id_low);
CREATE INDEX entries_own ON entries (room, sender, seq) WHERE countable;
CREATE INDEX entries_edit ON entries (room, target_seq) WHERE kind = 3;

-- A reaction keeps its place among the others while nobody has it on.
CREATE TABLE reaction_keys (
    room  bigint NOT NULL,
    seq   bigint NOT NULL,
    key   text   COLLATE "C" NOT NULL,
    place bigint NOT NULL,                      -- the position of the reaction that was first
    count bigint NOT NULL,
    PRIMARY KEY (room, seq, key)
);
CREATE TABLE reactions (
    room   bigint NOT NULL,
    seq    bigint NOT NULL,
    key    text   COLLATE "C" NOT NULL,
    "user" text   COLLATE "C" NOT NULL,
    since  bigint NOT NULL,
    PRIMARY KEY (room, seq, key, "user")
);

-- How many countable entries were deleted per stretch of 64^level positions, of everybody (sender '') and of each sender:
-- what lies after a position is counted from at most 63 rows a level.
CREATE TABLE deletions (
    room    bigint   NOT NULL,
    sender  text     COLLATE "C" NOT NULL,
    level   smallint NOT NULL,
    stretch bigint   NOT NULL,
    count   bigint   NOT NULL,
    PRIMARY KEY (room, sender, level, stretch)
);
CREATE INDEX deletions_place ON deletions (room, level, stretch);   -- what retention takes away

-- What the search knows: a copy of the text, folded, so that neither an append waits for the index nor the language of the
-- database decides what is upper and lower case. Filled behind the log.
CREATE TABLE search (
    id_high bigint NOT NULL,
    id_low  bigint NOT NULL,
    room    bigint NOT NULL,
    seq     bigint NOT NULL,
    body    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (id_high, id_low)
);
CREATE UNIQUE INDEX search_place ON search (room, seq);

CREATE FUNCTION here_timeline() RETURNS text LANGUAGE sql VOLATILE
AS $$ SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) $$;

-- `p_table` with its database: the last but one part of where it lies on the disk.
CREATE FUNCTION here_place(p_table oid) RETURNS text LANGUAGE sql STABLE
AS $$ SELECT path[cardinality(path) - 1] || '/' || p_table FROM string_to_array(pg_relation_filepath(p_table), '/') AS path $$;

-- Stores a batch of entries that change no other ones and repeat none, one step for all rooms; whatever stands in the way
-- raises CH001 (or 23505 for a repeat), changes nothing, and the batch goes the exact way.
--
-- Rooms come in ascending order, and the settings leave no other plan than to lock them in that order: two batches never
-- wait for each other in a circle. The second statement sees all that earlier holders of the locks committed.
CREATE FUNCTION append(
    p_epoch text, p_seen bigint,            -- what this node believes: the epoch, and how far the write-ahead log came
    p_rooms bigint[], p_ids text[], p_least bigint[],   -- and the rooms' numbers, with heads that they had before
    p_counts bigint[], p_countable bigint[], p_chars integer[], p_timeline boolean[],
    p_ix integer[], p_off bigint[], p_ordinal_off bigint[], p_own_off bigint[],
    p_id_low bigint[], p_authority smallint[], p_kind smallint[], p_body_kind smallint[],
    p_in_timeline boolean[], p_is_countable boolean[],
    p_sender text[], p_client_id text[], p_fingerprint bytea[], p_name text[], p_body text[],
    OUT heads bigint[], OUT ids bigint[])   -- per room, before this batch
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off   -- a plan that is avoided but taken counts as very dear, and compiling it took 60 to 400 ms of each call
AS $$
DECLARE
    v_countable bigint[];
    v_now bigint;
    v_stored bigint;
BEGIN
    PERFORM 1 FROM store WHERE epoch = p_epoch AND timeline = here_timeline() AND place = here_place(tableoid);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another epoch' USING ERRCODE = 'CH002';
    END IF;
    IF (pg_current_wal_insert_lsn() - '0/0')::bigint < p_seen THEN
        RAISE EXCEPTION 'the server was put back' USING ERRCODE = 'CH003';
    END IF;
    v_now := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    WITH moved AS (
        UPDATE rooms r SET
            head = r.head + c.count,
            countable = r.countable + c.countable,
            last_id = greatest(v_now << 16, r.last_id) + c.count,
            last_activity = CASE WHEN c.timeline
                THEN greatest(r.last_activity, (greatest(v_now << 16, r.last_id) + c.count) >> 16)
                ELSE r.last_activity END
        FROM unnest(p_rooms, p_ids, p_least, p_counts, p_countable, p_chars, p_timeline)
            WITH ORDINALITY AS c(room, id, least, count, countable, chars, timeline, place)
        WHERE r.room = c.room AND r.id = c.id AND r.head >= c.least AND r.active AND r.max_body_chars >= c.chars
        RETURNING c.place, r.head - c.count AS head, r.last_id - c.count AS id, r.countable - c.countable AS countable)
    SELECT array_agg(m.head ORDER BY m.place), array_agg(m.id ORDER BY m.place), array_agg(m.countable ORDER BY m.place)
    INTO heads, ids, v_countable FROM moved m;
    IF cardinality(heads) IS DISTINCT FROM cardinality(p_rooms) THEN
        RAISE EXCEPTION 'a room is missing, closed, or takes no such body' USING ERRCODE = 'CH001';
    END IF;
    INSERT INTO entries (
        room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable,
        sender, client_id, fingerprint, name, body)
    SELECT
        p_rooms[x.ix], heads[x.ix] + x.off, v_countable[x.ix] + x.ordinal_off,
        CASE WHEN x.own_off = 0 THEN 0 ELSE x.own_off + coalesce((
            SELECT o.own FROM entries o WHERE o.room = p_rooms[x.ix] AND o.sender = x.sender AND o.countable
            ORDER BY o.seq DESC LIMIT 1), 0) END,
        ids[x.ix] + x.off, x.id_low, x.authority, x.kind, x.body_kind, x.in_timeline, x.is_countable,
        x.sender, x.client_id, x.fingerprint, x.name, x.body
    FROM unnest(
        p_ix, p_off, p_ordinal_off, p_own_off, p_id_low, p_authority, p_kind, p_body_kind, p_in_timeline,
        p_is_countable, p_sender, p_client_id, p_fingerprint, p_name, p_body)
        AS x(ix, off, ordinal_off, own_off, id_low, authority, kind, body_kind, in_timeline,
        is_countable, sender, client_id, fingerprint, name, body)
    WHERE x.authority = 2 OR EXISTS (
        SELECT 1 FROM members m
        WHERE m.room = p_rooms[x.ix] AND m."user" = x.sender AND m.role IS NOT NULL AND m.left_at IS NULL);
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    IF v_stored <> cardinality(p_ix) THEN
        RAISE EXCEPTION 'a sender is no member' USING ERRCODE = 'CH001';
    END IF;
END $$;

-- Lets the search know texts of a room, and how far it knows the room. What an edit or a deletion has put there is newer than
-- what was read. What was trimmed meanwhile goes again, under the room's lock: who trims holds it.
CREATE FUNCTION follow(p_room bigint, p_to bigint, p_high bigint[], p_low bigint[], p_seq bigint[], p_body text[])
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
BEGIN
    -- A crash loses all of it or nothing, and then it is done again: nobody waits for the disk under the room's lock.
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO search (room, id_high, id_low, seq, body)
    SELECT p_room, x.high, x.low, x.seq, x.body FROM unnest(p_high, p_low, p_seq, p_body) AS x(high, low, seq, body)
    ON CONFLICT DO NOTHING;
    UPDATE rooms SET searchable = greatest(searchable, p_to) WHERE room = p_room;
    DELETE FROM search WHERE room = p_room AND seq < (SELECT r.oldest FROM rooms r WHERE r.room = p_room);
END $$;
