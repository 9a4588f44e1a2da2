-- Begins another era of a partition, if its record is gone or of another history of the server. It stands alone, without the
-- prelude. KEYS: the partition's record. ARGV: how many partitions there are, a new era.
-- Answers how many partitions the record says there are. Cost: three steps.

-- Also where memory is full: see FREES.
redis.call('DEL', string.sub(KEYS[1], 1, -2) .. 'none')
local known = redis.call('HMGET', KEYS[1], 'replid', 'of')
local here = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if known[1] ~= here then
    redis.call('HSET', KEYS[1], 'replid', here, 'era', ARGV[2])
    redis.call('HSETNX', KEYS[1], 'of', ARGV[1])
    -- Where it is there already, that is told as an error.
    redis.pcall('XGROUP', 'CREATE', string.sub(KEYS[1], 1, -2) .. 'w', 'archivers', '0', 'MKSTREAM')
end
return tonumber(known[2] or ARGV[1])
