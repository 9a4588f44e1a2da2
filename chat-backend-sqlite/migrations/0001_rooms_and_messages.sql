-- One row: the life of this file.
CREATE TABLE store (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    epoch         TEXT    NOT NULL,            -- part of every cursor
    token         TEXT    NOT NULL,            -- the same as beside the file, unless the file was exchanged
    last_entry    INTEGER NOT NULL DEFAULT 0,  -- the last number given out in `entries`
    last_id       BLOB,                        -- its message id; outlives the entry
    indexed_entry INTEGER NOT NULL DEFAULT 0   -- up to and with this one, the search index is complete
) STRICT;

CREATE TABLE rooms (
    room           INTEGER PRIMARY KEY,
    id             TEXT    NOT NULL UNIQUE,
    key            TEXT    UNIQUE,
    active         INTEGER NOT NULL,
    max_body_chars INTEGER NOT NULL,
    metadata       TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,           -- every time: milliseconds since 1970
    head           INTEGER NOT NULL DEFAULT 0, -- the last position given out
    oldest         INTEGER NOT NULL DEFAULT 1, -- the first position kept
    countable      INTEGER NOT NULL DEFAULT 0, -- how many entries that can be unread were ever stored
    deleted        INTEGER NOT NULL DEFAULT 0, -- how many of them were deleted: mostly none, and then there is less to ask
    last_activity  INTEGER                     -- when the newest entry of the timeline came; outlives it
) STRICT;

CREATE TABLE members (
    room      INTEGER NOT NULL REFERENCES rooms,
    user      TEXT    NOT NULL,
    role      INTEGER,                         -- NULL: only a numbered removal was seen
    joined_at INTEGER,
    left_at   INTEGER,                         -- NULL while a member
    version   INTEGER NOT NULL,
    read      INTEGER NOT NULL,
    read_at   INTEGER,
    own       INTEGER NOT NULL DEFAULT 0,      -- how many entries that can be unread they ever sent here
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_now ON members (room, user) WHERE role IS NOT NULL AND left_at IS NULL;
CREATE INDEX rooms_of_user ON members (user, room) WHERE role IS NOT NULL AND left_at IS NULL;

-- `entry` numbers all rooms' entries in one order, which is the order of their ids.
CREATE TABLE entries (
    entry       INTEGER PRIMARY KEY,
    room        INTEGER NOT NULL REFERENCES rooms,
    seq         INTEGER NOT NULL,
    timeline    INTEGER NOT NULL,              -- 1: stands for itself, 0: changes another entry
    countable   INTEGER NOT NULL,              -- 1: can be unread
    ordinal     INTEGER NOT NULL,              -- countable entries of the room up to and with this one
    own         INTEGER NOT NULL,              -- countable entries of this sender in the room, likewise
    id          BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    sender      TEXT    NOT NULL,
    client_id   TEXT    NOT NULL,
    authority   INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,              -- of the payload as it was sent
    name        TEXT,                          -- custom kind, reaction key, or who joined or left
    target      INTEGER,                       -- the entry that this one changes
    target_id   BLOB,                          -- its message id, which is named even after the target was trimmed
    body_kind   INTEGER NOT NULL,              -- 0 none, 1 text, 2 JSON, 3 removed; 4 and 5: reaction put on, taken off
    body        TEXT,                          -- as it is now
    edited_seq  INTEGER,
    edited_at   INTEGER,
    deleted_seq INTEGER,
    reacted     INTEGER NOT NULL DEFAULT 0     -- 1: look into `reaction_keys`
) STRICT;
CREATE UNIQUE INDEX entries_place ON entries (room, timeline, seq);
CREATE UNIQUE INDEX entries_id ON entries (id);
CREATE UNIQUE INDEX entries_copy ON entries (room, sender, client_id);
CREATE INDEX entries_own ON entries (room, sender, seq) WHERE countable = 1;
CREATE INDEX entries_edit ON entries (target) WHERE kind = 3;

-- A reaction keeps its place among the others while nobody has it on.
CREATE TABLE reaction_keys (
    reaction INTEGER PRIMARY KEY,
    entry    INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    count    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (entry, key)
) STRICT;
CREATE TABLE reactions (
    reaction INTEGER NOT NULL,
    user     TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (reaction, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX reactions_since ON reactions (reaction, since, user);

-- How many countable entries were deleted per stretch of 64^level positions, of everybody (sender '') and of each sender:
-- what lies after a position is counted from at most 63 rows a level.
CREATE TABLE deletions (
    room    INTEGER NOT NULL,
    sender  TEXT    NOT NULL,
    level   INTEGER NOT NULL,
    stretch INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (room, sender, level, stretch)
) STRICT, WITHOUT ROWID;
