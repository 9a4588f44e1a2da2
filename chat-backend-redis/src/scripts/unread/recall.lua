-- What is known of a user in some rooms. KEYS: the counts, the holds. ARGV: a new version, for how many milliseconds counts are kept, of how
-- many rooms; the rooms. Answers for each room '' (held, or too many), or the version, or 'version epoch head oldest unread'.
--
-- Counts are a hash, room -> 'history version' or 'history version epoch head oldest unread'. The history is the name of what this server has
-- written (master_replid): a server that was started again or promoted may lack a hold, so what another history wrote is not used.
-- Holds are a zset, 'hold room' or '*' (all rooms) -> until when.
-- Cost: 2 microseconds for the call, 1 for each room.

local C, H = KEYS[1], KEYS[2]
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local held, all = {}, false
local holds = redis.call('ZRANGE', H, 0, -1, 'WITHSCORES')
if #holds > 0 then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    for index = 1, #holds, 2 do
        if tonumber(holds[index + 1]) > now then
            all = all or holds[index] == '*'
            held[string.match(holds[index], ' (.*)$') or ''] = true
        end
    end
end
local most, size = tonumber(ARGV[3]), nil
local answers = {}
for index = 4, #ARGV do
    local room = ARGV[index]
    local answer = ''
    if not all and not held[room] then
        local known = redis.call('HGET', C, room)
        if known and string.sub(known, 1, #history) == history then
            answer = string.sub(known, #history + 2)
        else
            size = size or redis.call('HLEN', C)
            if known or size < most then
                redis.call('HSET', C, room, history .. ' ' .. ARGV[1])
                if size == 0 then
                    redis.call('PEXPIRE', C, ARGV[2])
                end
                size = size + (known and 0 or 1)
                answer = ARGV[1]
            end
        end
    end
    answers[index - 3] = answer
end
return answers
