-- Closes a room of this life. ARGV: from the third one the room, the life. Cost: two steps.

LOCAL(ARGV[3])
FREES()
local r = load(ARGV[3])
if r and r.open and r.life == ARGV[4] then
    r.era = ''
    save(ARGV[3], r)
end
return 0
