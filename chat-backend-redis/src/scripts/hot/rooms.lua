-- What is known of rooms. KEYS: the records of one partition, or of several where there is no cluster. ARGV: from the third one of each partition how
-- many rooms, and the rooms.
-- Answers for each room: '' nothing, 'L' closed with entries left, 'O' and the room. Cost: three steps for each partition, one for each room.

local answers, argument = {}, 3
for _, record in ipairs(KEYS) do
    wrong = enter(record)
    if wrong then
        return wrong
    end
    local last = argument + tonumber(ARGV[argument])
    for index = argument + 1, last do
        LOCAL(ARGV[index])
        local r = load(ARGV[index])
        answers[#answers + 1] = r and (r.open and 'O' .. told(r) or waiting(r) > 0 and 'L') or ''
    end
    argument = last + 1
end
return answers
