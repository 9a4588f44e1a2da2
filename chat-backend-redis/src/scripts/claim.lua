-- Takes a binding for a connection. KEYS: the binding. ARGV: the connection, for how many milliseconds, and 1 if it is taken from
-- another one. Answers whether it was taken, and the other connection that has or had it, or ''. Cost: two steps.

local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then
    holder = ''
elseif ARGV[3] ~= '1' then
    return {0, holder}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, holder}
