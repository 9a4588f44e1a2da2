-- How far the archive is behind. Answers how many rooms have a token, how many entries wait, and for how many milliseconds the first one of the
-- room with the oldest token. Cost: some six steps.

LOCAL('')
local backlog = tonumber(redis.call('HGET', META, 'backlog') or '0')
if backlog <= 0 then
    return { 0, 0, 0 }
end
local age = 0
local token = redis.call('XRANGE', TAG .. 'w', '-', '+', 'COUNT', 1)[1]
local r = token and load(token[2][2])
if r and waiting(r) > 0 then
    local first = redis.call('XRANGE', TAG .. 's:' .. token[2][2], waits(r), '+', 'COUNT', 1)[1]
    age = first and math.max(now() - struct.unpack('>I6', first[2][2]), 0) or 0
end
return { redis.call('XLEN', TAG .. 'w'), backlog, age }
