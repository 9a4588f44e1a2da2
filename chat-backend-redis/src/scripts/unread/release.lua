-- Ends a hold. KEYS: the counts, the holds. ARGV: the room, the hold. Cost: two steps.

-- Where it had run out, somebody may have counted before the change.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2] .. ' ' .. ARGV[1])
return 0
