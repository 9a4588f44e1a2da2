-- What leaves a room's window. A part of some scripts, behind the filter.

local READ_AT_ONCE = 250

-- Forgets entries that are archived and either before `place` or stored before `time`. Their keys go into the filter.
-- Cost: some 8 microseconds for each entry that goes.
local function forget(room, r, place, time)
    local S, first, size = TAG .. 's:' .. room, r.first, 1
    while r.first <= r.arch do
        if r.first < place then
            size = READ_AT_ONCE
        end
        local items = redis.call('XRANGE', S, r.first, r.arch, 'COUNT', size)
        local keys, changes, deleted = {}, {}, {}
        for index, item in ipairs(items) do
            local entry, seq = item[2][2], r.first + index - 1
            if seq >= place and struct.unpack('>I6', entry) >= time then
                break
            end
            keys[index] = string.sub(entry, 18, 33)
            local flags = string.byte(entry, 17)
            if flags % 16 >= 8 then
                changes[#changes + 1] = seq
            end
            if flags % 8 >= 4 then
                deleted[#deleted + 1] = struct.unpack('>I8', entry, 50)
            end
        end
        if #keys == 0 then
            break
        end
        remember(room, r, keys)
        redis.call('HDEL', TAG .. 'k:' .. room, unpack(keys))
        if #changes > 0 then
            redis.call('ZREM', TAG .. 'x:' .. room, unpack(changes))
        end
        if #deleted > 0 then
            redis.call('HDEL', TAG .. 'd:' .. room, unpack(deleted))
        end
        r.first = r.first + #keys
        if #keys < #items then
            break
        end
        size = READ_AT_ONCE
    end
    if r.first > first then
        if r.first > r.head then
            redis.call('UNLINK', S)
        else
            redis.call('XTRIM', S, 'MINID', r.first)
        end
        save(room, r)
    end
end
