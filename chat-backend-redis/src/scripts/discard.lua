-- Takes away what cannot be read, unless something else stands there by now. KEYS: what. ARGV: the text that was found.
-- Answers 1 if it did. Cost: two steps.

if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
