-- Takes rooms whose entries wait. ARGV: from the third one the worker, when so many wait, or one so many milliseconds, how many rooms, how
-- many entries of each, what idled so many milliseconds is taken over, for how many milliseconds entries stay in the window.
-- Answers for each room: ticket, room, life or nothing if it is closed, entries.
-- Cost: some ten steps, four for each room, and as much as leaves the windows of four rooms that nobody writes into.

local worker, rooms, entries = ARGV[3], tonumber(ARGV[6]), ARGV[7]
local W, time = TAG .. 'w', now()
local taken, seen = {}, {}
LOCAL('')
FREES()

local function take(items)
    for _, item in ipairs(items) do
        local ticket, room = item[1], item[2][2]
        seen[#seen + 1] = ticket
        LOCAL(room)
        local r = load(room)
        if r and waiting(r) > 0 then
            taken[#taken + 1] = {
                ticket, room, r.open and r.life or '',
                r.open and redis.call('XRANGE', TAG .. 's:' .. room, waits(r), '+', 'COUNT', entries) or {},
            }
        else
            -- Somebody archived it without a ticket.
            redis.call('XACK', W, 'archivers', ticket)
            redis.call('XDEL', W, ticket)
            if r then
                r.q = 0
                save(room, r)
            end
        end
    end
end

-- What others did not finish.
local cursor, turns = '0-0', 0
repeat
    local claimed = redis.call('XAUTOCLAIM', W, 'archivers', worker, ARGV[8], cursor, 'COUNT', math.max(rooms - #seen, 1))
    cursor, turns = claimed[1], turns + 1
    take(claimed[2])
until cursor == '0-0' or #seen >= rooms or turns >= 10
if #seen > 0 then
    -- Workers that went away, an hour ago or more.
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', W, 'archivers')) do
        -- name, pending and idle, each behind its name
        if consumer[4] == 0 and consumer[6] > 3600000 then
            redis.call('XGROUP', 'DELCONSUMER', W, 'archivers', consumer[2])
        end
    end
end

local function is_due()
    if tonumber(redis.call('HGET', META, 'backlog') or '0') >= tonumber(ARGV[4]) then
        return true
    end
    local group = redis.call('XINFO', 'GROUPS', W)[1]
    for index = 1, #group, 2 do
        if group[index] == 'last-delivered-id' then
            local oldest = redis.call('XRANGE', W, '(' .. group[index + 1], '+', 'COUNT', 1)[1]
            local age = oldest and time - tonumber(string.match(oldest[1], '%d+'))
            -- One of a time to come is of before the clock was set back.
            return age and (age >= tonumber(ARGV[5]) or age < 0)
        end
    end
end

if #seen < rooms and is_due() then
    local read = redis.call('XREADGROUP', 'GROUP', 'archivers', worker, 'COUNT', rooms - #seen, 'STREAMS', W, '>')
    if read then
        take(read[1][2])
    end
end

-- Rooms that nobody writes into any more.
local kept = tonumber(ARGV[9])
for _, room in ipairs(redis.call('ZRANGEBYSCORE', TAG .. 'i', '-inf', time - kept, 'LIMIT', 0, 4)) do
    LOCAL(room)
    local r = load(room)
    if r then
        forget(room, r, 0, time - kept)
    end
    if not r or r.first > r.head then
        redis.call('ZREM', TAG .. 'i', room)
    else
        -- Looked at again when the next ones may go.
        redis.call('ZADD', TAG .. 'i', math.max(math.min(r.ms, time), time - kept + math.min(kept, 60000)), room)
    end
end
return taken
