-- What is known of rooms. ARGV: from the third one the rooms.
-- Answers for each: '' nothing, 'L' closed with entries left, 'O' and the room. Cost: one step each.

local answers = {}
for index = 3, #ARGV do
    LOCAL(ARGV[index])
    local r = load(ARGV[index])
    answers[index - 2] = r and (r.open and 'O' .. told(r) or waiting(r) > 0 and 'L') or ''
end
return answers
