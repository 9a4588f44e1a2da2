-- Appends drafts of several rooms. ARGV: from the third one how many entries of a room may wait, what a gate is where there is none,
-- how many rooms; of each room its name, the gate, how many drafts; of each draft the middle of its entry (5 random bytes | flags | key |
-- fingerprint), the end of it (length of the sender | sender | payload), and, if its flags have 16, what is particular about it.
-- That is: flags 1 (1 refused, 2 changes, 4 only the sender's own, 8 deletes, 16 the archive knows the target,
-- 32 and it is open, 64 the archive was asked for a copy) | first position when it was asked 8 | id of the target 16 | the target's
-- position 8 | the target's sender.
-- Answers bytes for each room: 'C' closed; 'G', 1 if settled, the gate; 'F' full; or 'D', length of the life, life, the milliseconds 6
-- and the first position 8 of new ids, and for each draft 'S' stored at the next one; 'K' position id fingerprint; 'R' refused; 'M' no
-- target; 'O' not the own; 'A' first position; 'T' ask for the target; 'N' not reached.
-- Cost: 9 microseconds for a call, 9 for each room, 4 for each draft; with a filter seven steps more for each of its layers.

local most, fresh = tonumber(ARGV[3]), ARGV[4]
local time = now()
local added_to_all = 0
-- Arguments of one command: Lua takes at most 8,000.
local AT_ONCE = 1000
local NO_TARGET = string.rep('\0', 8)

-- The present gate, and whether it is settled.
local function gate_of(room)
    local G = TAG .. 'g:' .. room
    local fields = redis.call('HGETALL', G)
    if #fields == 0 then
        redis.call('HSET', G, 'v', fresh)
        redis.call('PEXPIRE', G, 3600000)
        return 'G1' .. ERA .. fresh
    end
    local settled, v = '1', ''
    for index = 1, #fields, 2 do
        if fields[index] == 'v' then
            v = fields[index + 1]
        elseif tonumber(fields[index + 1]) > time then
            settled = '0'
        end
    end
    return 'G' .. settled .. ERA .. v
end

local function read(room, seq)
    local items = redis.call('XRANGE', TAG .. 's:' .. room, seq, seq)
    return items[1] and items[1][2][2]
end

-- The position of the target, or nothing and what to answer.
local function target_of(room, r, particular, flags, sender)
    local id = string.sub(particular, 10, 25)
    local low = struct.unpack('>I5', id, 7)
    local seq = r.head - r.head % 1099511627776 + low
    if seq > r.head then
        seq = seq - 1099511627776
    end
    local own = flags % 8 >= 4
    local entry = seq >= r.first and seq <= r.head and read(room, seq)
    if entry and string.sub(entry, 1, 16) == id then
        if seq < r.oldest or string.byte(entry, 17) % 4 < 2 then
            return nil, 'M'
        end
        if redis.call('HEXISTS', TAG .. 'd:' .. room, seq) == 1 then
            return nil, 'M'
        end
        if own and string.sub(entry, 60, 59 + struct.unpack('>I2', entry, 58)) ~= sender then
            return nil, 'O'
        end
        return seq
    end
    if flags % 32 < 16 then
        return nil, r.first > r.oldest and 'T' or 'M'
    end
    seq = struct.unpack('>I8', particular, 26)
    if flags % 64 < 32 or redis.call('HEXISTS', TAG .. 'd:' .. room, seq) == 1 then
        return nil, 'M'
    end
    if own and string.sub(particular, 34) ~= sender then
        return nil, 'O'
    end
    return seq
end

local function append(room, gate, from, count)
    local r = load(room)
    if not r or not r.open then
        return 'C'
    end
    local v = redis.call('HGET', TAG .. 'g:' .. room, 'v')
    if not v or ERA .. v ~= gate then
        return gate_of(room)
    end
    if waiting(r) >= most then
        return 'F'
    end
    local keys, middles, endings, particulars = {}, {}, {}, {}
    for index = 1, count do
        local middle = ARGV[from]
        keys[index] = string.sub(middle, 7, 22)
        middles[index], endings[index] = middle, ARGV[from + 1]
        if string.byte(middle, 6) >= 16 then
            particulars[index] = ARGV[from + 2]
            from = from + 1
        end
        from = from + 2
    end
    local K, S, X, D = TAG .. 'k:' .. room, TAG .. 's:' .. room, TAG .. 'x:' .. room, TAG .. 'd:' .. room
    local positions = {}
    for first = 1, count, AT_ONCE do
        local part = redis.call('HMGET', K, unpack(keys, first, math.min(count, first + AT_ONCE - 1)))
        if count <= AT_ONCE then
            positions = part
        else
            for index, position in ipairs(part) do
                positions[first + index - 1] = position
            end
        end
    end
    local unlearned = r.lu > r.la
    local found = not unlearned and r.fl > 0 and remembered(room, r, keys) or {}
    local head = r.head
    local ms = math.max(time, r.ms)
    local here, stored, outcomes = {}, {}, {}
    for index = 1, count do
        local key, particular = keys[index], particulars[index]
        local seq = here[key] or tonumber(positions[index] or nil)
        local entry = seq and read(room, seq)
        local flags = particular and string.byte(particular) or 0
        if entry then
            outcomes[index] = 'K' .. struct.pack('>I8', seq) .. string.sub(entry, 1, 16) .. string.sub(entry, 34, 49)
        elseif (unlearned or found[index])
            and not (flags >= 64 and struct.unpack('>I8', particular, 2) == r.first) then
            outcomes[index] = 'A' .. struct.pack('>I8', r.first) .. string.rep('N', count - index)
            break
        elseif flags % 2 == 1 then
            outcomes[index] = 'R'
        else
            local ending = endings[index]
            local target, why = 0, nil
            if flags % 4 >= 2 then
                local sender = string.sub(ending, 3, 2 + struct.unpack('>I2', ending))
                target, why = target_of(room, r, particular, flags, sender)
            end
            if not target then
                outcomes[index] = why == 'T' and 'T' .. string.rep('N', count - index) or why
                if why == 'T' then
                    break
                end
            else
                seq = r.head + 1
                r.head = seq
                redis.call('XADD', S, seq, 'e', struct.pack('>I6I5', ms, seq % 1099511627776) .. middles[index]
                    .. (target == 0 and NO_TARGET or struct.pack('>I8', target)) .. ending)
                here[key] = seq
                stored[#stored + 1] = key
                stored[#stored + 1] = seq
                if target > 0 then
                    redis.call('ZADD', X, target, seq)
                    if flags % 16 >= 8 then
                        redis.call('HSET', D, target, seq)
                    end
                end
                outcomes[index] = 'S'
            end
        end
    end
    if r.head > head then
        for first = 1, #stored, 2 * AT_ONCE do
            redis.call('HSET', K, unpack(stored, first, math.min(#stored, first + 2 * AT_ONCE - 1)))
        end
        r.ms = ms
        if r.q == 0 then
            r.q = 1
            redis.call('XADD', TAG .. 'w', '*', 'r', room)
            redis.call('ZADD', TAG .. 'i', time, room)
        end
        save(room, r)
        added_to_all = added_to_all + r.head - head
    end
    return 'D' .. struct.pack('>Bc0I6I8', #r.life, r.life, ms, head + 1) .. table.concat(outcomes)
end

-- Where each room begins.
local rooms = {}
local argument = 6
for index = 1, tonumber(ARGV[5]) do
    rooms[index] = argument
    -- All of them, before anything is written.
    LOCAL(ARGV[argument])
    argument = argument + 2
    local drafts = tonumber(ARGV[argument])
    argument = argument + 1
    for _ = 1, drafts do
        argument = argument + (string.byte(ARGV[argument], 6) >= 16 and 3 or 2)
    end
end
local answers = {}
for index, from in ipairs(rooms) do
    answers[index] = append(ARGV[from], ARGV[from + 1], from + 3, tonumber(ARGV[from + 2]))
end
if added_to_all > 0 then
    redis.call('HINCRBY', META, 'backlog', added_to_all)
end
return answers
