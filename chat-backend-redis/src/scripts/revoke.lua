-- Remembers a withdrawal until its time. KEYS: the user's tokens, by until when; what was issued before a time, by until when.
-- ARGV: until when, and either 't' and a token or 'b' and a time of issue, in 20 digits.
-- Cost: a few steps, more by what has run out since the last time. Both keys go when the last of theirs has run out.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires, what, member = tonumber(ARGV[1]), ARGV[2], ARGV[3]
if expires < now then
    return 0
end
local key = what == 't' and KEYS[1] or KEYS[2]
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. string.format('%.0f', now))
if what == 'b' then
    -- Only those that no other one outdoes in both times.
    local known = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for index = 1, #known, 2 do
        if known[index] >= member and tonumber(known[index + 1]) >= expires then
            return 0
        end
    end
    for index = 1, #known, 2 do
        if known[index] <= member and tonumber(known[index + 1]) <= expires then
            redis.call('ZREM', key, known[index])
        end
    end
end
redis.call('ZADD', key, 'GT', string.format('%.0f', expires), member)
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last[2]) + 1))
return 1
