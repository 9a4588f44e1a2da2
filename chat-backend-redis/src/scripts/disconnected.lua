-- A connection is gone. ARGV: connection, incarnation. Also one that was never seen: its beginning may still be on its way.
-- Answers 1 noted, 2 stale. Cost: some ten steps, more by the number of nodes that the user is on.

local id, incarnation = ARGV[1], ARGV[2]
local known = get(CONNECTIONS, id) or { false, false, false, false, false }
if known[4] and known[5] <= now then
    known[4], known[5] = false, false
end
if known[4] and known[4] >= incarnation then
    return 2
end
if known[3] and ends(known[3]) > now and known[2] > incarnation then
    return 2
end
if known[3] then
    redis.call('ZREM', HELD, known[3] .. ':' .. id)
    lose(known[1], known[3])
end
known[4], known[5] = incarnation, math.max(known[5] or 0, now + memory())
known[1], known[2], known[3] = false, false, false
put(CONNECTIONS, id, known)
redis.call('ZADD', ENDED, text(known[5]), id)
return 1
