-- Renews a node's lease, or begins it. ARGV: node, incarnation, time to live.
-- Answers 0 renewed, 1 started, 2 superseded. Cost: a handful of steps, whatever the node holds.

-- A server that was promoted may lack connections that its predecessor had confirmed. Its history has another name; so a
-- lease from before begins anew, and its node registers everything again.
local function server()
    local info = redis.pcall('INFO', 'replication')
    return type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
end

local node, incarnation, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local held = get(NODES, node)
local here = server()
if held and held[2] > incarnation and held[3] + memory() > now then
    return 2
end
if ttl > memory() then
    redis.call('HSET', STATE, 'memory', text(ttl))
end
local status = 1
if held and held[2] == incarnation and held[3] > now and held[4] == here then
    status = 0
else
    if held and held[3] > now then
        redis.call('ZADD', LIVES, text(now), held[1])
    end
    held = { text(redis.call('HINCRBY', STATE, 'life', 1)), incarnation, 0, here }
end
held[3] = now + ttl
put(NODES, node, held)
redis.call('ZADD', LIVES, text(held[3]), held[1])
redis.call('ZADD', FORGETTABLE, text(held[3] + memory()), node)
return status
