-- Puts connections of one user into the user's own key, or takes some out. Whatever else was not renewed in time goes as well, so that
-- a key tells of no connection whose node is gone for longer than until one of the user's others is renewed.
--
-- KEYS[1]: hash: connection -> {server, connectedAt, expiresAt} as JSON, times in milliseconds.
-- ARGV: for how long, how many are put, then connection, server and time for each of those, then the connections that are taken out.

local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + tonumber(ARGV[1])
local last = 2 + 3 * tonumber(ARGV[2])

for i = 3, last, 3 do
    local entry = string.format('{"server":%s,"connectedAt":%s,"expiresAt":%.0f}', cjson.encode(ARGV[i + 1]), ARGV[i + 2], ends)
    redis.call('HSET', key, ARGV[i], entry)
end
for i = last + 1, #ARGV do
    redis.call('HDEL', key, ARGV[i])
end

local latest = 0
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
    local read, entry = pcall(cjson.decode, all[i + 1])
    local at = read and type(entry) == 'table' and tonumber(entry.expiresAt) or 0
    if at <= now then
        redis.call('HDEL', key, all[i])
    elseif at > latest then
        latest = at
    end
end
if latest > 0 then
    redis.call('PEXPIREAT', key, string.format('%.0f', latest))
end
return 0
