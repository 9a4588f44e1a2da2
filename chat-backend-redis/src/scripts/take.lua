-- Takes one unit of an allowance (GCRA). KEYS: whose. ARGV: microseconds that one unit takes to come back, and how many there are at
-- once. Answers 0, or in how many microseconds there is one. Cost: a read and a write; the key goes when all are back.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
-- When all would be back, at the earliest that the clock allows: it may have been set back since.
local back = math.min(tonumber(redis.call('GET', KEYS[1]) or '0'), now + interval * burst)
local wait = math.max(back, now) - now - interval * (burst - 1)
-- What is less than a microsecond is a rounding.
if wait >= 1 then
    return math.ceil(wait)
end
back = math.max(back, now) + interval
redis.call('SET', KEYS[1], string.format('%.3f', back), 'PX', math.ceil((back - now) / 1000))
return 0
