-- Opens a room. ARGV: from the third one the room, the token of its claim, life, base, archived, oldest, the least time to give out, 1 to
-- keep what is left, how many dead letters are kept.
-- Answers 1, or 0 if the claim is gone or the room is open.
-- Cost: some twenty steps, and where nothing is kept three for each entry that waited.

local room, token, life = ARGV[3], ARGV[4], ARGV[5]
local base, archived, oldest, least = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
LOCAL(room)

-- The text of an id.
local DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
local function ulid(id)
    -- 130 bits: the first two are none of the id's.
    local text, bits, held = {}, 2, 0
    for place = 1, #id do
        held, bits = held * 256 + string.byte(id, place), bits + 8
        while bits >= 5 do
            bits = bits - 5
            local digit = math.floor(held / 2 ^ bits)
            held = held - digit * 2 ^ bits
            text[#text + 1] = string.sub(DIGITS, digit + 1, digit + 1)
        end
    end
    return table.concat(text)
end

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
    r.arch = math.min(math.max(r.arch, archived), base)
else
    local seq = waits(r)
    while seq <= r.head do
        local items = redis.call('XRANGE', TAG .. 's:' .. room, seq, '+', 'COUNT', 250)
        if #items == 0 then
            break
        end
        for _, item in ipairs(items) do
            local entry = item[2][2]
            redis.call('XADD', TAG .. 'dead', 'MAXLEN', '~', ARGV[11], '*', 'room', room, 'life', r.life, 'position',
                string.match(item[1], '%d+'), 'id', ulid(string.sub(entry, 1, 16)), 'target', struct.unpack('>I8', entry, 50),
                'payload', string.sub(entry, 60 + struct.unpack('>I2', entry, 58)), 'reason', 'lost')
        end
        seq = seq + #items
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
