-- Appends drafts of several rooms. KEYS: the records of one partition, or of several where there is no cluster. ARGV: from the third one how many
-- entries of a room may wait, what a gate is where there is none; of each partition how many rooms; of each room its name, the gate, how many
-- drafts; of each draft the middle of its entry (5 random bytes | flags | key |
-- fingerprint), the end of it (length of the sender | sender | payload), and, if its flags have 16, what is particular about it.
-- That is: flags 1 (1 refused, 2 changes, 4 only the sender's own, 8 deletes, 16 the archive knows the target,
-- 32 and it is open, 64 the archive was asked for a copy) | first position when it was asked 8 | id of the target 16 | the target's
-- position 8 | the target's sender.
-- Answers bytes for each room: 'C' closed; 'G', 1 if settled, the gate; 'F' full; or 'D', length of the life, life, the milliseconds 6
-- and the first position 8 of new ids, and for each draft 'S' stored at the next one; 'K' position id fingerprint; 'R' refused; 'M' no
-- target; 'O' not the own; 'A' first position; 'T' ask for the target; 'N' not reached.
-- Cost: 9 microseconds for a call, 2 for each partition, 5 for each room, 5 for each draft; with a filter 1 more for each draft and layer.

local most, fresh = tonumber(ARGV[3]), ARGV[4]
local time = now()
local added_to_all = 0
local call, sub, pack, format = redis.call, string.sub, struct.pack, string.format
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
local function target_of(room, head, first, oldest, particular, flags, sender)
    local id = string.sub(particular, 10, 25)
    local low = struct.unpack('>I5', id, 7)
    local seq = head - head % 1099511627776 + low
    if seq > head then
        seq = seq - 1099511627776
    end
    local own = flags % 8 >= 4
    local entry = seq >= first and seq <= head and read(room, seq)
    if entry and string.sub(entry, 1, 16) == id then
        if seq < oldest or string.byte(entry, 17) % 4 < 2 then
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
        return nil, first > oldest and 'T' or 'M'
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

-- Arguments of one command: Lua takes at most 8,000.
local AT_ONCE = 1000
-- From so many drafts of a room on, their names are looked up and taken together.
local TOGETHER = 3

local function names(from, count)
    local keys = {}
    for index = 1, count do
        keys[index] = sub(ARGV[from], 7, 22)
        from = from + (byte(ARGV[from], 6) >= 16 and 3 or 2)
    end
    return keys
end

-- The positions of entries with these names, in their order; false where there is none.
local function places_of(K, keys)
    if #keys <= AT_ONCE then
        return call('HMGET', K, unpack(keys))
    end
    local places = {}
    for from = 1, #keys, AT_ONCE do
        for index, place in ipairs(call('HMGET', K, unpack(keys, from, math.min(#keys, from + AT_ONCE - 1)))) do
            places[from + index - 1] = place
        end
    end
    return places
end

local function append(room, gate, from, count)
    local packed = call('GET', TAG .. 'r:' .. room)
    if not packed then
        return 'C'
    end
    -- Not as a table, which costs as much as a command.
    local head, first, oldest, arch, last, queued, layers, _, la, lu, era, life = struct.unpack(RECORD, packed)
    if era ~= ERA then
        return 'C'
    end
    local v = call('HGET', TAG .. 'g:' .. room, 'v')
    if not v or ERA .. v ~= gate then
        return gate_of(room)
    end
    if head - math.max(arch + 1, first) + 1 >= most then
        return 'F'
    end
    local K, S = TAG .. 'k:' .. room, TAG .. 's:' .. room
    local unlearned = lu > la
    local together = count >= TOGETHER
    local keys = (together or layers > 0) and names(from, count)
    local found = not unlearned and layers > 0 and remembered(room, layers, keys)
    local places = together and places_of(K, keys)
    local here, taken = together and {}, together and {}
    local before, ms, outcomes = head, math.max(time, last), {}
    for index = 1, count do
        local middle, ending = ARGV[from], ARGV[from + 1]
        local key, target, outcome = sub(middle, 7, 22), 0, 'S'
        local next = format('%d', head + 1)
        from = from + 2
        local particular = byte(middle, 6) >= 16 and ARGV[from]
        if particular then
            from = from + 1
        end
        local doubted = unlearned or found and found[index]
        local seq = together and (here[key] or places[index])
        -- Mostly nobody has the name. Where it is alone it is taken in the same step.
        if particular or doubted or seq or not together and call('HSETNX', K, key, next) == 0 then
            local flags = particular and byte(particular) or 0
            if not together then
                seq = call('HGET', K, key)
            end
            local entry = seq and read(room, seq)
            if entry then
                outcome = 'K' .. pack('>I8', seq) .. sub(entry, 1, 16) .. sub(entry, 34, 49)
            elseif doubted and not (flags >= 64 and struct.unpack('>I8', particular, 2) == first) then
                outcome = 'A' .. pack('>I8', first)
            elseif flags % 2 == 1 then
                outcome = 'R'
            elseif flags % 4 >= 2 then
                local sender = sub(ending, 3, 2 + struct.unpack('>I2', ending))
                local why
                target, why = target_of(room, head, first, oldest, particular, flags, sender)
                outcome = target and 'S' or why
            end
            if outcome == 'S' then
                if not together then
                    call('HSET', K, key, next)
                end
                if target > 0 then
                    call('ZADD', TAG .. 'x:' .. room, target, next)
                    if flags % 16 >= 8 then
                        call('HSET', TAG .. 'd:' .. room, target, next)
                    end
                end
            end
        end
        outcomes[index] = outcome
        if outcome == 'S' then
            head = head + 1
            if together then
                here[key] = next
                taken[#taken + 1] = key
                taken[#taken + 1] = next
            end
            call('XADD', S, next, 'e', pack('>I6I5', ms, head % 1099511627776) .. middle
                .. (target == 0 and NO_TARGET or pack('>I8', target)) .. ending)
        elseif outcome == 'T' or byte(outcome) == 65 then
            -- The others wait for what is asked.
            outcomes[index + 1] = string.rep('N', count - index)
            break
        end
    end
    if head > before then
        for first_of = 1, together and #taken or 0, 2 * AT_ONCE do
            call('HSET', K, unpack(taken, first_of, math.min(#taken, first_of + 2 * AT_ONCE - 1)))
        end
        if queued == 0 then
            call('XADD', TAG .. 'w', '*', 'r', room)
            call('ZADD', TAG .. 'i', time, room)
        end
        -- The head, the time, and that there is a token; what lies between stays.
        call('SET', TAG .. 'r:' .. room, pack('>I8', head) .. sub(packed, 9, 32) .. pack('>I6', ms) .. '\1' .. sub(packed, 40))
        added_to_all = added_to_all + head - before
    end
    return 'D' .. pack('>Bc0I6I8', #life, life, ms, before + 1) .. table.concat(outcomes)
end

-- All of the partitions, and of the rooms, before anything is written.
local eras = { ERA }
for index = 2, #KEYS do
    wrong = enter(KEYS[index])
    if wrong then
        return wrong
    end
    eras[index] = ERA
end
if ARGV[2] == '1' then
    local argument = 6
    for _ = 1, tonumber(ARGV[5]) do
        LOCAL(ARGV[argument])
        local drafts = tonumber(ARGV[argument + 2])
        argument = argument + 3
        for _ = 1, drafts do
            argument = argument + (byte(ARGV[argument], 6) >= 16 and 3 or 2)
        end
    end
end
local answers, argument = {}, 5
for index, record in ipairs(KEYS) do
    META, TAG, ERA = record, sub(record, 1, -2), eras[index]
    added_to_all = 0
    local rooms = tonumber(ARGV[argument])
    argument = argument + 1
    for _ = 1, rooms do
        local drafts = tonumber(ARGV[argument + 2])
        answers[#answers + 1] = append(ARGV[argument], ARGV[argument + 1], argument + 3, drafts)
        argument = argument + 3
        for _ = 1, drafts do
            argument = argument + (byte(ARGV[argument], 6) >= 16 and 3 or 2)
        end
    end
    if added_to_all > 0 then
        call('HINCRBY', META, 'backlog', added_to_all)
    end
end
return answers
