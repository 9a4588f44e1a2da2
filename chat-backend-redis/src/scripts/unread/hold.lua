-- Begins a hold: what is known of the room is forgotten, and nothing is remembered. KEYS: the counts, the holds. ARGV: the room, the hold, for
-- how many milliseconds it lasts, how many holds are told apart. Cost: some five steps, and a few more where holds ran out.

local C, H = KEYS[1], KEYS[2]
-- First: a server whose memory is full takes what comes behind a write that needs none.
redis.call('HDEL', C, ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', H, '-inf', now)
if redis.call('ZCARD', H) < tonumber(ARGV[4]) then
    redis.call('ZADD', H, now + ARGV[3], ARGV[2] .. ' ' .. ARGV[1])
else
    redis.call('DEL', C)
    redis.call('ZADD', H, now + ARGV[3], '*')
end
redis.call('PEXPIRE', H, ARGV[3] + 1000)
return 0
