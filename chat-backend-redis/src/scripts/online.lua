-- The presence of these users now. ARGV: users.
-- Answers three for each, in their order: how many connections, since when, last seen; -1 where there is none.
-- Cost: one read of two hashes, and a little for each user.

local records = redis.call('HMGET', USERS, unpack(ARGV))
local seen = redis.call('ZMSCORE', SEEN, unpack(ARGV))
local answer = {}
for index = 1, #ARGV do
    local live, since, last = 0, -1, tonumber(seen[index] or -1)
    if records[index] then
        local user = cmsgpack.unpack(records[index])
        local ended
        live, ended = count(user)
        if live > 0 then
            since, last = user[2], -1
        else
            -- The later of what is written down and what ran out since.
            last = math.max(user[3] or -1, ended or -1, user[2] or -1)
        end
    end
    answer[#answer + 1] = live
    answer[#answer + 1] = since
    answer[#answer + 1] = last
end
return answer
