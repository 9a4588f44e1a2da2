-- Puts entries aside. ARGV: from the third one how many are kept; of each room, life, position, id, position of the target or 0, payload,
-- reason. Cost: one step each.

LOCAL('')
FREES()
for index = 4, #ARGV, 7 do
    redis.call('XADD', TAG .. 'dead', 'MAXLEN', '~', ARGV[3], '*', 'room', ARGV[index], 'life', ARGV[index + 1],
        'position', ARGV[index + 2], 'id', ARGV[index + 3], 'target', ARGV[index + 4], 'payload', ARGV[index + 5],
        'reason', ARGV[index + 6])
end
return 0
