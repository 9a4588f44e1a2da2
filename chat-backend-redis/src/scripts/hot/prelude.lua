-- What the scripts of the hot log share. It stands before each of them.
--
-- Rooms are spread over partitions; all keys of a partition are in one slot of a cluster, so that one call serves many of its
-- rooms. KEYS[1] is the partition's record, whose name ends in 'm' (where there is no cluster, some scripts take several partitions at once, a
-- key for each); the names of all other keys begin with what is before that:
--
--   m          hash:   replid (the server's history that the record belongs to), era (changes with it), of (how many partitions
--                      there are), backlog (entries that wait to be archived), touched (written where replicas are waited for)
--   w          stream: a token for each room with entries that wait; its group is 'archivers'
--   i          zset:   rooms with entries, by a time at or before their last append
--   dead       stream: entries that no archive will take
--   r:<room>   string: head 8 | first 8 | oldest 8 | arch 8 (archived up to here) | ms 6 (the last time given out) | q 1 (1: has a
--                      token) | fl 1, fn 4 (layers of the filter, keys in the last one) | la 8, lu 8 (names of the archive are known
--                      up to la, and are to be told up to lu) | length 1, era (the partition's, if the room is open) | length 1, life.
--                      In one, since reading twelve fields costs more than storing an entry.
--   s:<room>   stream: the entries; their ids are <position>-0
--   k:<room>   hash:   key of an entry -> its position
--   x:<room>   zset:   positions of entries that change another one, by the position of that
--   d:<room>   hash:   position of a deleted entry -> that of the entry that deletes it
--   f<n>:<room> string: a layer of the Bloom filter of keys that are no longer in k
--   g:<room>   hash:   v (what the gate is now), h:<hold> -> until when it counts; runs out by itself
--   c:<room>   string: who is opening the room; runs out by itself
--
-- They are not all declared as KEYS: what a room has is known to the scripts only. On a cluster, LOCAL in a script refuses to run
-- on a slot that is on its way to another server, before anything is written, or taken for absent that is only elsewhere.
--
-- An entry is one field of bytes: id 16 | flags 1 (1 timeline, 2 can be changed, 4 deletes, 8 changes another one, 16 there was
-- something particular about its draft) | key 16 |
-- fingerprint 16 | position of the target 8, or 0 | length of the sender 2 | sender | payload. An id is milliseconds 6 | position 5
-- (its low 40 bits) | random 5, so that it leads to its entry. Numbers are exact up to 2^53, as positions are, and
-- commands take them as they are; only Lua's own text of a great one is rounded.
--
-- ARGV[1] is how many partitions there are, ARGV[2] is 1 on a cluster.
--
-- A server that was started again, or was promoted, may lack entries that were confirmed. Its history has another name, and so
-- each script first compares that: where it is another one, or the record is gone, it answers '?', and identify.lua begins another era,
-- which closes every room. It costs 2 microseconds for each call, however many rooms it serves.

local META, TAG, ERA, history

-- Turns to a partition. Answers what is wrong with it, or nothing.
local function enter(record)
    META, TAG = record, string.sub(record, 1, -2)
    local known = redis.call('HMGET', META, 'replid', 'era', 'of')
    ERA = known[2]
    history = history or redis.call('INFO', 'replication')
    if not ERA or not string.find(history, 'master_replid:' .. known[1], 1, true) then
        return '?'
    end
    if known[3] ~= ARGV[1] then
        return '!'
    end
end
local wrong = enter(KEYS[1])
if wrong then
    return wrong
end

-- Refuses where keys of the slot are on their way to another server: not all of these are ever there, and of several keys the servers
-- then ask for all.
local function LOCAL(room)
    if ARGV[2] == '1' then
        redis.call('EXISTS', META, TAG .. 'w', TAG .. 'i', TAG .. 'r:' .. room, TAG .. 's:' .. room, TAG .. 'k:' .. room,
            TAG .. 'x:' .. room, TAG .. 'd:' .. room, TAG .. 'g:' .. room, TAG .. 'c:' .. room, TAG .. 'f1:' .. room)
    end
end

-- Of what must go on where memory is full, since it gives some back or is needed before anything can: a server asks for memory up to a script's
-- first write only, and this one takes none.
local function FREES()
    redis.call('DEL', TAG .. 'none')
end

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local RECORD = '>I8I8I8I8I6BBI4I8I8Bc0Bc0'

-- A room's record; false where there is none.
local function load(room)
    local packed = redis.call('GET', TAG .. 'r:' .. room)
    if not packed then
        return false
    end
    local head, first, oldest, arch, ms, q, fl, fn, la, lu, era, life = struct.unpack(RECORD, packed)
    return {
        head = head, first = first, oldest = oldest, arch = arch, ms = ms, q = q, fl = fl, fn = fn, la = la, lu = lu,
        era = era, open = era == ERA, life = life,
    }
end

local function save(room, r)
    redis.call('SET', TAG .. 'r:' .. room, struct.pack(RECORD, r.head, r.first, r.oldest, r.arch, r.ms, r.q, r.fl, r.fn, r.la,
        r.lu, #r.era, r.era, #r.life, r.life))
end

-- The first entry that waits to be archived.
local function waits(r)
    return math.max(r.arch + 1, r.first)
end

-- How many do.
local function waiting(r)
    return math.max(r.head - waits(r) + 1, 0)
end

-- A room as it is told: length of the life 1 | life | head 8 | first 8 | oldest 8 | archived 8.
local function told(r)
    return string.char(#r.life) .. r.life .. struct.pack('>I8I8I8I8', r.head, r.first, r.oldest, r.arch)
end
