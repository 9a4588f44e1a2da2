-- Publishes to channels of one server. ARGV: a channel, its payload, and so on. Cost: a step for each.

for index = 1, #ARGV, 2 do
    redis.call('SPUBLISH', ARGV[index], ARGV[index + 1])
end
return 0
