-- Entries that wait. ARGV: from the third one how many of each room, the rooms.
-- Answers for each room with any: no ticket, room, life or nothing if it is closed, entries. Cost: two steps for each.

local answers = {}
for index = 4, #ARGV do
    local room = ARGV[index]
    LOCAL(room)
    local r = load(room)
    if r and waiting(r) > 0 then
        answers[#answers + 1] = {
            '', room, r.open and r.life or '',
            r.open and redis.call('XRANGE', TAG .. 's:' .. room, waits(r), '+', 'COUNT', ARGV[3]) or {},
        }
    end
end
return answers
