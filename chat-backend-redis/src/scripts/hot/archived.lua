-- Notes what was archived. ARGV: from the third one how many entries stay in a window, and for how many milliseconds; of each room its name,
-- life, up to which position, and the ticket or nothing.
-- Cost: some eight steps for each room, and as much as leaves its window.

local kept, time = tonumber(ARGV[3]), now() - tonumber(ARGV[4])
local W, less = TAG .. 'w', 0
for index = 5, #ARGV, 4 do
    LOCAL(ARGV[index])
end
FREES()
for index = 5, #ARGV, 4 do
    local room, life, upto, ticket = ARGV[index], ARGV[index + 1], tonumber(ARGV[index + 2]), ARGV[index + 3]
    local r = load(room)
    if r and r.life == life then
        upto = math.min(upto, r.head)
        if upto > r.arch then
            local before = waiting(r)
            r.arch = upto
            less = less + before - waiting(r)
            save(room, r)
        end
        forget(room, r, r.head - kept + 1, time)
    end
    if ticket ~= '' then
        redis.call('XACK', W, 'archivers', ticket)
        -- Whoever takes it away puts the next one.
        if redis.call('XDEL', W, ticket) == 1 and r then
            local more = waiting(r) > 0
            if more then
                redis.call('XADD', W, '*', 'r', room)
            end
            r.q = more and 1 or 0
            save(room, r)
        end
    end
end
if less > 0 then
    redis.call('HINCRBY', META, 'backlog', -less)
end
return 0
