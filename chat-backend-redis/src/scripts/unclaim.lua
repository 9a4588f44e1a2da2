-- Gives a binding up. KEYS: the binding. ARGV: the connection. Answers 1 if it had it. Cost: two steps.

if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
