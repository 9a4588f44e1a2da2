-- Which names of the archive are not known. ARGV: from the third one the room.
-- Answers up to which position they are, and up to which they are to be told; nothing if all are. Cost: one step.

LOCAL(ARGV[3])
local r = load(ARGV[3])
if r and r.open and r.lu > r.la then
    return { r.la, r.lu }
end
return {}
