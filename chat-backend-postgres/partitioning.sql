-- Splits the table of all messages into 16 by the room, for deployments whose vacuum takes too long on one. README.md,
-- "Retention", says when that pays.
--
-- Run it once, as the role that owns the schema; another schema than `chat` takes another name in the second statement:
--     psql -v ON_ERROR_STOP=1 -f partitioning.sql "$DATABASE_URL"
-- One transaction: all of it is done or nothing. Meanwhile the chat's calls wait, and those that wait longer than their limit
-- fail as retryable; nodes need not be restarted. It takes as much free space as the table has now, and about a minute for
-- each two million messages. Where something else has the tables, a dump for instance, it gives up after five seconds: run it
-- again then. A statement over all parts takes a hundred locks, so set max_locks_per_transaction to 256. Grants go along;
-- publications, policies and comments of the table have to be made again. The server analyses the parts by itself, and the
-- whole only when told to: ANALYZE it now and then.
BEGIN;
SET LOCAL search_path TO chat, pg_temp;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '5s';
-- For the indexes; each one made here.
SET LOCAL maintenance_work_mem = '256MB';

-- In the order in which appends take them.
LOCK TABLE rooms, entries IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = 0;

CREATE TABLE entries_by_room (LIKE entries INCLUDING DEFAULTS) PARTITION BY HASH (room);
DO $$
BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE entries_%s PARTITION OF entries_by_room FOR VALUES WITH (MODULUS 16, REMAINDER %s)', n, n);
    END LOOP;
END $$;
INSERT INTO entries_by_room SELECT * FROM entries;
DO $$
DECLARE
    g record;
BEGIN
    FOR g IN
        SELECT a.privilege_type, a.is_grantable, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE format('%I', r.rolname) END AS grantee
        FROM pg_class c CROSS JOIN aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'entries'::regclass
    LOOP
        EXECUTE format('GRANT %s ON entries_by_room TO %s%s', g.privilege_type, g.grantee,
            CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END $$;
DROP TABLE entries;
ALTER TABLE entries_by_room RENAME TO entries;

ALTER TABLE entries ADD PRIMARY KEY (room, timeline, seq);
CREATE UNIQUE INDEX entries_copy ON entries (room, sender, client_id);
-- What is unique must have the room in it. No lookup by a message's id goes without its room.
CREATE UNIQUE INDEX entries_id ON entries (id_high, id_low, room);
CREATE INDEX entries_own ON entries (room, sender, seq) WHERE countable;
CREATE INDEX entries_edit ON entries (room, target_seq) WHERE kind = 3;
ANALYZE entries;
COMMIT;
