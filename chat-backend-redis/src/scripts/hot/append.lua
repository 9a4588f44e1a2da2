-- Appends drafts of several rooms. ARGV: from the third one how many entries of a room may wait, what a gate is where there is none,
-- how many rooms; of each room its name, the gate, how many drafts; of each draft its key, what is particular about it, the middle of its
-- entry (5 random bytes | flags | key | fingerprint), and the end of it (length of the sender | sender | payload).
-- What is particular is empty or: flags 1 (1 refused, 2 changes, 4 only the sender's own, 8 deletes, 16 the archive knows the target,
-- 32 and it is open, 64 the archive was asked for a copy) | first position when it was asked 8 | id of the target 16 | the target's
-- position 8 | the target's sender.
-- Answers bytes for each room: 'C' closed; 'G', 1 if settled, the gate; 'F' full; or 'D', length of the life, life, and for each draft
-- 'S' position id; 'K' position id fingerprint; 'R' refused; 'M' no target; 'O' not the own; 'A' first position; 'T' ask for the
-- target; 'N' not reached.
-- Cost: nine steps for a call and a room, and one for each draft; of one with a filter seven more for each layer.

local most, fresh = tonumber(ARGV[3]), ARGV[4]
local time = now()
local added_to_all = 0
-- Arguments of one command: Lua takes at most 8,000.
local AT_ONCE = 1000

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
    local items = redis.call('XRANGE', TAG .. 's:' .. room, at(seq), at(seq))
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
    local keys = {}
    for index = 1, count do
        keys[index] = ARGV[from + (index - 1) * 4]
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
        local argument = from + (index - 1) * 4
        local key, particular = keys[index], ARGV[argument + 1]
        local seq = here[key] or tonumber(positions[index] or nil)
        local entry = seq and read(room, seq)
        local flags = particular ~= '' and string.byte(particular) or 0
        if entry then
            outcomes[index] = 'K' .. struct.pack('>I8', seq) .. string.sub(entry, 1, 16) .. string.sub(entry, 34, 49)
        elseif (unlearned or found[index])
            and not (flags >= 64 and struct.unpack('>I8', particular, 2) == r.first) then
            outcomes[index] = 'A' .. struct.pack('>I8', r.first) .. string.rep('N', count - index)
            break
        elseif flags % 2 == 1 then
            outcomes[index] = 'R'
        else
            local ending = ARGV[argument + 3]
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
                local middle = ARGV[argument + 2]
                seq = r.head + 1
                r.head = seq
                local begin = struct.pack('>I6I5', ms, seq % 1099511627776)
                redis.call('XADD', S, at(seq), 'e', begin .. middle .. struct.pack('>I8', target) .. ending)
                here[key] = seq
                stored[#stored + 1] = key
                stored[#stored + 1] = seq
                if target > 0 then
                    redis.call('ZADD', X, target, seq)
                    if flags % 16 >= 8 then
                        redis.call('HSET', D, target, seq)
                    end
                end
                outcomes[index] = 'S' .. struct.pack('>I8', seq) .. begin .. string.sub(middle, 1, 5)
            end
        end
    end
    if r.head > head then
        for first = 1, #stored, 2 * AT_ONCE do
            redis.call('HSET', K, unpack(stored, first, math.min(#stored, first + 2 * AT_ONCE - 1)))
        end
        if r.q then
            redis.call('HSET', TAG .. 'r:' .. room, 'head', r.head, 'ms', ms)
        else
            redis.call('HSET', TAG .. 'r:' .. room, 'head', r.head, 'ms', ms, 'q', 1)
            redis.call('XADD', TAG .. 'w', '*', 'r', room)
            redis.call('ZADD', TAG .. 'i', time, room)
        end
        added_to_all = added_to_all + r.head - head
    end
    return 'D' .. string.char(#r.life) .. r.life .. table.concat(outcomes)
end

local rooms = {}
local argument = 6
for index = 1, tonumber(ARGV[5]) do
    rooms[index] = argument
    -- All of them, before anything is written.
    LOCAL(ARGV[argument])
    argument = argument + 3 + tonumber(ARGV[argument + 2]) * 4
end
local answers = {}
for index, from in ipairs(rooms) do
    answers[index] = append(ARGV[from], ARGV[from + 1], from + 3, tonumber(ARGV[from + 2]))
end
if added_to_all > 0 then
    redis.call('HINCRBY', META, 'backlog', added_to_all)
end
return answers
