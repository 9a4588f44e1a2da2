-- Notes what is no longer kept. ARGV: from the third one the room, the life, the first position that is kept.
-- Cost: as much as leaves the window.

local room, oldest = ARGV[3], tonumber(ARGV[5])
LOCAL(room)
FREES()
local r = load(room)
if r and r.life == ARGV[4] and oldest > r.oldest then
    r.oldest = math.min(oldest, r.head + 1)
    save(room, r)
    forget(room, r, r.oldest, 0)
end
return 0
