-- Asks for the right to open a room. ARGV: from the third one the room, a new token, for how many milliseconds it is good.
-- Answers 'O' and the room; 'W' and in how many milliseconds to ask again; or 'Y', the token, and what is left of the room, if anything.
-- Cost: three steps.

local room, token, lasts = ARGV[3], ARGV[4], ARGV[5]
LOCAL(room)
FREES()
local r = load(room)
if r and r.open then
    return { 'O', told(r) }
end
local C = TAG .. 'c:' .. room
local held = redis.call('GET', C)
if held and string.sub(held, 1, #ERA) == ERA then
    return { 'W', redis.call('PTTL', C) }
end
-- With the era: what was seen of the room is so only within it.
token = ERA .. token
redis.call('SET', C, token, 'PX', lasts)
return { 'Y', token, r and told(r) or '' }
