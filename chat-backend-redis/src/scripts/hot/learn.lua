-- Takes names of the archive into the filter. ARGV: from the third one the room, the life, up to which position they were known before these,
-- and with these, or 0 if more follow, the keys in one. Cost: at most two steps for each.

local room, upto, packed = ARGV[3], tonumber(ARGV[6]), ARGV[7]
LOCAL(room)
FREES()
local r = load(room)
if not r or r.life ~= ARGV[4] or r.la ~= tonumber(ARGV[5]) then
    return 0
end
local keys = {}
for place = 1, #packed, 16 do
    keys[#keys + 1] = string.sub(packed, place, place + 15)
end
remember(room, r, keys)
r.la = math.max(r.la, upto)
save(room, r)
return 0
