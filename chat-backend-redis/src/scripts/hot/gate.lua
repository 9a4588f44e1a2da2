-- Changes a room's gate, and begins or ends a hold. ARGV: from the third one the room, what the gate is now, the hold, and for how many
-- milliseconds it counts, or 0 to end it. Cost: a few steps.

local room, v, hold, lasts = ARGV[3], ARGV[4], 'h:' .. ARGV[5], tonumber(ARGV[6])
LOCAL(room)
FREES()
local G, time = TAG .. 'g:' .. room, now()
local fields = redis.call('HGETALL', G)
-- Of nodes that went away.
for index = 1, #fields, 2 do
    if fields[index] ~= 'v' and tonumber(fields[index + 1]) <= time then
        redis.call('HDEL', G, fields[index])
    end
end
redis.call('HSET', G, 'v', v)
if lasts > 0 then
    redis.call('HSET', G, hold, time + lasts)
else
    redis.call('HDEL', G, hold)
end
-- A gate that ran out is another one when it comes again.
redis.call('PEXPIRE', G, 3600000)
return 0
