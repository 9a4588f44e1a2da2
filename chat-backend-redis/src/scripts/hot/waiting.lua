-- Rooms with entries that wait, by their tokens. ARGV: from the third one behind which token, how many tokens.
-- Answers the last token, or nothing at the end, and then the rooms. Cost: one step for each token.

LOCAL('')
local items = redis.call('XRANGE', TAG .. 'w', '(' .. ARGV[3], '+', 'COUNT', ARGV[4])
local answer = { #items == tonumber(ARGV[4]) and items[#items][1] or '' }
for _, item in ipairs(items) do
    local r = load(item[2][2])
    if r and waiting(r) > 0 then
        answer[#answer + 1] = item[2][2]
    end
end
return answer
