-- Remembers counts whose versions are still the present ones. KEYS: the counts, the holds. ARGV: of each a room, the version, and
-- 'epoch head oldest unread'. A room that is held has no version. Cost: 2 microseconds for the call, 2 for each room.

local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
for index = 1, #ARGV, 3 do
    local present = history .. ' ' .. ARGV[index + 1]
    local known = redis.call('HGET', KEYS[1], ARGV[index])
    -- The version, or the version and a count.
    if known and string.sub(known .. ' ', 1, #present + 1) == present .. ' ' then
        redis.call('HSET', KEYS[1], ARGV[index], present .. ' ' .. ARGV[index + 2])
    end
end
return 0
