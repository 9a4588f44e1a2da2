-- Users who are offline for others from now on. ARGV: grace, how many at most, how long it is kept when they were seen.
-- Answers whether there is more to do, and then two for each user: who, and when last seen.
-- Cost: some ten steps for each connection of a dead lease and each user, so it is done in parts.

local grace, limit, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = limit

-- Connections of lives that ended.
local dead = redis.call('ZRANGEBYSCORE', LIVES, '-inf', text(now), 'LIMIT', 0, limit)
for _, life in ipairs(dead) do
    local held = left > 0
        and redis.call('ZRANGEBYLEX', HELD, '[' .. life .. ':', '(' .. life .. ';', 'LIMIT', 0, left)
        or {}
    for _, member in ipairs(held) do
        left = left - 1
        redis.call('ZREM', HELD, member)
        local id = string.sub(member, #life + 2)
        local known = get(CONNECTIONS, id)
        if known and known[3] == life then
            lose(known[1], life)
            known[1], known[2], known[3] = false, false, false
            if known[4] and known[5] > now then
                put(CONNECTIONS, id, known)
            else
                redis.call('HDEL', CONNECTIONS, id)
            end
        end
    end
    if left <= 0 then
        break
    end
    redis.call('ZREM', LIVES, life)
end
local more = left <= 0 or #dead >= limit

-- Users without a connection for so long.
local gone = redis.call('ZRANGEBYSCORE', LEAVING, '-inf', text(now - grace), 'WITHSCORES', 'LIMIT', 0, limit)
for index = 1, #gone, 2 do
    local name, at = gone[index], gone[index + 1]
    redis.call('ZREM', LEAVING, name)
    redis.call('HDEL', USERS, name)
    redis.call('ZADD', SEEN, at, name)
end
more = more or #gone >= 2 * limit

-- What needs no remembering any more.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', text(now), 'LIMIT', 0, limit)) do
    redis.call('ZREM', ENDED, id)
    local known = get(CONNECTIONS, id)
    if known and known[3] then
        known[4], known[5] = false, false
        put(CONNECTIONS, id, known)
    elseif known then
        redis.call('HDEL', CONNECTIONS, id)
    end
end
for _, node in ipairs(redis.call('ZRANGEBYSCORE', FORGETTABLE, '-inf', text(now), 'LIMIT', 0, limit)) do
    redis.call('ZREM', FORGETTABLE, node)
    redis.call('HDEL', NODES, node)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', SEEN, '-inf', '(' .. text(now - kept), 'LIMIT', 0, limit)) do
    redis.call('ZREM', SEEN, name)
end

local answer = { more and 1 or 0 }
for index = 1, #gone, 2 do
    answer[#answer + 1] = gone[index]
    answer[#answer + 1] = tonumber(gone[index + 1])
end
return answer
