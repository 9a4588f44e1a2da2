-- Opens a room. ARGV: from the third one the room, the token of its claim, life, base, archived, oldest, the least time to give out, 1 to
-- keep what is left, how many dead letters are kept, behind which position what waits is in no archive.
-- Answers 1, or 0 if the claim is gone or the room is open.
-- Cost: some twenty steps, and where nothing is kept as much as it takes to trim and drop a window.

local room, token, life = ARGV[3], ARGV[4], ARGV[5]
local base, archived, oldest, least = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
LOCAL(room)

FREES()
local C = TAG .. 'c:' .. room
if redis.call('GET', C) ~= token or string.sub(token, 1, #ERA) ~= ERA then
    return 0
end
local r = load(room)
if r and r.open then
    return 0
end
local waited = r and waiting(r) or 0
if not r then
    r = { head = 0, first = 1, arch = 0, ms = 0, q = 0, fl = 0, fn = 0, la = 0, lu = 0 }
elseif r.lu <= r.la then
    -- Known are those that left the window, and those in it.
    r.la = r.first - 1
    r.lu = r.la
end
if ARGV[10] == '1' and base == r.head then
    -- What the archive has lost is moved there again, if it is here.
    r.arch = math.min(archived, base)
else
    -- What waits and is in no archive is put aside as it is, however much that is, and a letter says where.
    local S, from = TAG .. 's:' .. room, math.max(waits(r), tonumber(ARGV[12]) + 1)
    if from <= r.head then
        local aside = TAG .. 'lost:' .. room .. ':' .. r.life
        redis.call('XTRIM', S, 'MINID', from)
        if redis.call('EXISTS', S) == 1 then
            redis.call('RENAME', S, aside)
            redis.call('XADD', TAG .. 'dead', 'MAXLEN', '~', ARGV[11], '*', 'room', room, 'life', r.life, 'reason', 'lost', 'first',
                from, 'last', r.head, 'stream', aside)
        end
    end
    redis.call('UNLINK', TAG .. 's:' .. room, TAG .. 'k:' .. room, TAG .. 'x:' .. room, TAG .. 'd:' .. room)
    r.first, r.arch = base + 1, archived
    r.la = math.min(r.la, archived)
    r.lu = archived
end
r.head, r.oldest, r.life = base, oldest, life
local waits_now = waiting(r)
if waits_now ~= waited then
    redis.call('HINCRBY', META, 'backlog', waits_now - waited)
end
if waits_now > 0 and r.q == 0 then
    r.q = 1
    redis.call('XADD', TAG .. 'w', '*', 'r', room)
end
if r.first <= r.head then
    redis.call('ZADD', TAG .. 'i', 'NX', now(), room)
end
r.era, r.ms = ERA, math.max(r.ms, least)
save(room, r)
redis.call('DEL', C)
return 1
