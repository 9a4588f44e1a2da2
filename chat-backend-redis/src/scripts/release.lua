-- Ends a node's lease, and with it all its connections. ARGV: node, incarnation. Cost: a handful of steps, whatever the
-- node holds.

local held = get(NODES, ARGV[1])
if held and held[2] == ARGV[2] and held[3] > now then
    held[3] = now
    put(NODES, ARGV[1], held)
    redis.call('ZADD', LIVES, text(now), held[1])
    redis.call('ZADD', FORGETTABLE, text(now + memory()), ARGV[1])
end
return 0
