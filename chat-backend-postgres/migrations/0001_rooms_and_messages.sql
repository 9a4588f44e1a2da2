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
    members_at     bigint  NOT NULL DEFAULT 0   -- another number, at random, after each change of a membership
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

-- How far the search knows each room. Not in `rooms`: whoever fills the search would hold up appends.
CREATE TABLE search_places (
    room bigint PRIMARY KEY,
    upto bigint NOT NULL                        -- up to and with this position
) WITH (fillfactor = 50);

CREATE FUNCTION here_timeline() RETURNS text LANGUAGE sql VOLATILE
AS $$ SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) $$;

-- `p_table` with its database: the last but one part of where it lies on the disk.
CREATE FUNCTION here_place(p_table oid) RETURNS text LANGUAGE sql STABLE
AS $$ SELECT split_part(pg_relation_filepath(p_table), '/', -2) || '/' || p_table $$;

-- Stores a batch of entries that change no other ones and repeat none, one step for all rooms; whatever stands in the way
-- raises CH001 (or 23505 for a repeat), changes nothing, and the batch goes the exact way.
--
-- Rooms come in ascending order, and the settings leave no other plan than to lock them in that order: two batches never
-- wait for each other in a circle. The second statement sees all that earlier holders of the locks committed.
CREATE FUNCTION append(
    p_epoch text, p_seen bigint,            -- what this node believes: the epoch, and how far the write-ahead log came
    p_rooms bigint[], p_ids text[], p_least bigint[],   -- and the rooms' numbers, with heads that they had before
    p_head bigint[], p_members_at bigint[], -- the rooms as they were when the node learned of their authors
    p_counts bigint[], p_countable bigint[], p_chars integer[], p_timeline boolean[],
    p_author_ix integer[], p_author text[], -- who must be a member, each once per room
    p_author_own bigint[],                  -- what they had sent then, which says that they were; NULL: not known
    p_ix integer[], p_off bigint[], p_by integer[], p_ordinal_off bigint[], p_own_off bigint[],
    p_id_low bigint[], p_authority smallint[], p_kind smallint[], p_body_kind smallint[],
    p_in_timeline boolean[], p_is_countable boolean[],
    p_sender text[], p_client_id text[], p_fingerprint bytea[], p_name text[], p_body text[],
    OUT heads bigint[], OUT ids bigint[], OUT members_at bigint[], -- per room, before this batch
    OUT owns bigint[])                      -- per author, before this batch
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan     -- planning these statements takes a third of their time
SET jit = off   -- a plan that is avoided but taken counts as very dear, and compiling it took 60 to 400 ms of each call
AS $$
DECLARE
    v_countable bigint[];
    v_same boolean[];   -- rooms that are as the node knows them
    v_now bigint;
BEGIN
    -- As `here_timeline` and `here_place` say: a call of either takes many times as long as this.
    PERFORM 1 FROM store
    WHERE epoch = p_epoch AND timeline = left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
        AND place = split_part(pg_relation_filepath(tableoid), '/', -2) || '/' || tableoid;
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
        FROM unnest(p_rooms, p_ids, p_least, p_head, p_members_at, p_counts, p_countable, p_chars, p_timeline)
            WITH ORDINALITY AS c(room, id, least, head, members_at, count, countable, chars, timeline, place)
        WHERE r.room = c.room AND r.id = c.id AND r.head >= c.least AND r.active AND r.max_body_chars >= c.chars
        RETURNING c.place, r.head - c.count AS head, r.last_id - c.count AS id, r.countable - c.countable AS countable,
            r.members_at, r.head - c.count = c.head AND r.members_at = c.members_at AS same)
    SELECT array_agg(m.head), array_agg(m.id), array_agg(m.countable), array_agg(m.members_at), array_agg(m.same)
    INTO heads, ids, v_countable, members_at, v_same FROM (SELECT * FROM moved ORDER BY place) m;
    IF cardinality(heads) IS DISTINCT FROM cardinality(p_rooms) THEN
        RAISE EXCEPTION 'a room is missing, closed, or takes no such body' USING ERRCODE = 'CH001';
    END IF;
    -- Whoever is not known is looked up, one by one: never by going through all members of all rooms.
    SELECT array_agg(CASE WHEN a.own IS NOT NULL AND v_same[a.ix] THEN a.own ELSE (
        SELECT coalesce((
            SELECT e.own FROM entries e WHERE e.room = p_rooms[a.ix] AND e.sender = a.name AND e.countable
            ORDER BY e.seq DESC LIMIT 1), 0)
        FROM members m
        WHERE m.room = p_rooms[a.ix] AND m."user" = a.name AND m.role IS NOT NULL AND m.left_at IS NULL) END
        ORDER BY a.place)
    INTO owns FROM unnest(p_author_ix, p_author, p_author_own) WITH ORDINALITY AS a(ix, name, own, place);
    IF array_position(owns, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a sender is no member' USING ERRCODE = 'CH001';
    END IF;
    INSERT INTO entries (
        room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable,
        sender, client_id, fingerprint, name, body)
    SELECT
        p_rooms[x.ix], heads[x.ix] + x.off, v_countable[x.ix] + x.ordinal_off,
        CASE WHEN x.own_off = 0 THEN 0 ELSE owns[x.by] + x.own_off END,
        ids[x.ix] + x.off, x.id_low, x.authority, x.kind, x.body_kind, x.in_timeline, x.is_countable,
        x.sender, x.client_id, x.fingerprint, x.name, x.body
    FROM unnest(
        p_ix, p_off, p_by, p_ordinal_off, p_own_off, p_id_low, p_authority, p_kind, p_body_kind, p_in_timeline,
        p_is_countable, p_sender, p_client_id, p_fingerprint, p_name, p_body)
        AS x(ix, off, by, ordinal_off, own_off, id_low, authority, kind, body_kind, in_timeline,
        is_countable, sender, client_id, fingerprint, name, body);
END $$;

-- Lets the search know texts, and how far it knows their rooms. What an edit or a deletion has put there is newer than what
-- was read. Of what was trimmed since it was read nothing is put there: who trims has the same lock for itself.
CREATE FUNCTION follow(
    p_epoch text,                           -- of what was read: after a failover it may never have been
    p_rooms bigint[], p_upto bigint[],
    p_ix integer[], p_high bigint[], p_low bigint[], p_seq bigint[], p_body text[])
RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_oldest bigint[];
    v_head bigint[];
BEGIN
    -- A crash loses all of it or nothing, and then it is done again: nobody needs to wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(1936876392, hashtext(current_schema()));
    PERFORM 1 FROM store WHERE epoch = p_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another epoch' USING ERRCODE = 'CH002';
    END IF;
    SELECT array_agg(coalesce(r.oldest, 1) ORDER BY c.place), array_agg(coalesce(r.head, 0) ORDER BY c.place)
    INTO v_oldest, v_head FROM unnest(p_rooms) WITH ORDINALITY AS c(room, place) LEFT JOIN rooms r ON r.room = c.room;
    INSERT INTO search (room, id_high, id_low, seq, body)
    SELECT p_rooms[x.ix], x.high, x.low, x.seq, x.body
    FROM unnest(p_ix, p_high, p_low, p_seq, p_body) AS x(ix, high, low, seq, body)
    WHERE x.seq BETWEEN v_oldest[x.ix] AND v_head[x.ix]
    ON CONFLICT DO NOTHING;
    INSERT INTO search_places AS p (room, upto)
    SELECT c.room, least(c.upto, c.head) FROM unnest(p_rooms, p_upto, v_head) AS c(room, upto, head)
    ON CONFLICT (room) DO UPDATE SET upto = greatest(p.upto, excluded.upto);
END $$;
