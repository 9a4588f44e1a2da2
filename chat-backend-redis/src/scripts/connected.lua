-- A connection is there. ARGV: user, connection, incarnation, node, the lease's incarnation.
-- Answers 0 came online, 1 noted, 2 stale. Cost: some ten steps, more by the number of nodes that the user is on.

local name, id, incarnation = ARGV[1], ARGV[2], ARGV[3]
local lease = get(NODES, ARGV[4])
if not lease or lease[2] ~= ARGV[5] or lease[3] <= now then
    return 2
end
local life = lease[1]
local known = get(CONNECTIONS, id) or { false, false, false, false, false }
if known[4] and known[5] > now and known[4] >= incarnation then
    return 2
end
if known[3] and ends(known[3]) > now and known[2] >= incarnation then
    local same = known[2] == incarnation and known[1] == name and known[3] == life
    return same and 1 or 2
end
local user = get(USERS, name) or { false, false, false, {} }
-- Both are counted as they are now; the new one is counted before the old one goes, so that `since` goes on.
if settle(user) == 0 then
    user[2] = now
end
user[3] = false
redis.call('ZREM', LEAVING, name)
redis.call('ZREM', SEEN, name)
add(user, life, 1)
local announced = user[1]
user[1] = true
if known[3] then
    redis.call('ZREM', HELD, known[3] .. ':' .. id)
    if known[1] == name and user[4][known[3]] then
        add(user, known[3], -1)
    end
end
put(USERS, name, user)
if known[3] and known[1] ~= name then
    lose(known[1], known[3])
end
known[1], known[2], known[3] = name, incarnation, life
put(CONNECTIONS, id, known)
redis.call('ZADD', HELD, 0, life .. ':' .. id)
return announced and 1 or 0
