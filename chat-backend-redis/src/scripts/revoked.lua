-- Whether credentials were withdrawn: 1 or 0. KEYS: as in revoke.lua. ARGV: the token, or '' for none; the time of issue in 20
-- digits, or '' for none, which counts as issued before any time.
-- Cost: two reads. Of what was issued before a time there are as many as differ in how long they are remembered.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
    local expires = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if expires and tonumber(expires) >= now then
        return 1
    end
end
for _, before in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.0f', now), '+inf')) do
    if ARGV[2] == '' or ARGV[2] < before then
        return 1
    end
end
return 0
