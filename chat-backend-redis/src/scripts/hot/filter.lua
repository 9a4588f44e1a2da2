-- The Bloom filter of keys that have left a room's window, or that the archive has told. A part of some scripts, behind the prelude.
--
-- A layer has 10 bits for each key and 7 hashes: when it is full, one key in 120 is taken for one that is there. Then another
-- layer begins. The first one is small, since most rooms are; then they grow.

local HASHES, BITS = 7, 10
-- Arguments of one command: Lua takes at most 8,000.
local ADDED_AT_ONCE, ASKED_AT_ONCE = 250, 350

local function capacity(layer)
    return layer == 1 and 512 or 8192 * 4 ^ math.min(layer - 2, 7)
end

-- Adds the places of a key in a layer to the arguments of BITFIELD.
local function places(arguments, command, value, key, size)
    local a1, a2, b1, b2 = struct.unpack('>I4I4I4I4', key)
    local place = (a1 * 1048576 + a2 % 1048576) % size
    local step = (b1 * 1048576 + b2 % 1048576) % (size - 1) + 1
    for _ = 1, HASHES do
        local count = #arguments
        arguments[count + 1], arguments[count + 2], arguments[count + 3], arguments[count + 4] = command, 'u1', place, value
        place = (place + step) % size
    end
end

-- Adds keys, and notes in r how full the filter is; the caller stores that.
local function remember(room, r, keys)
    local from = 1
    while from <= #keys do
        if r.fl == 0 or r.fn >= capacity(r.fl) then
            r.fl, r.fn = r.fl + 1, 0
        end
        local last = math.min(#keys, from + math.min(ADDED_AT_ONCE, capacity(r.fl) - r.fn) - 1)
        local arguments = {}
        for index = from, last do
            places(arguments, 'SET', 1, keys[index], capacity(r.fl) * BITS)
        end
        redis.call('BITFIELD', TAG .. 'f' .. r.fl .. ':' .. room, unpack(arguments))
        r.fn = r.fn + last - from + 1
        from = last + 1
    end
end

-- Which of these keys may be in the filter: indexes -> true.
local function remembered(room, r, keys)
    local found = {}
    for layer = r.fl, 1, -1 do
        for from = 1, #keys, ASKED_AT_ONCE do
            local last = math.min(#keys, from + ASKED_AT_ONCE - 1)
            local arguments = {}
            for index = from, last do
                places(arguments, 'GET', nil, keys[index], capacity(layer) * BITS)
            end
            local bits = redis.call('BITFIELD_RO', TAG .. 'f' .. layer .. ':' .. room, unpack(arguments))
            for index = from, last do
                local set = 0
                for hash = 1, HASHES do
                    set = set + bits[(index - from) * HASHES + hash]
                end
                found[index] = found[index] or set == HASHES
            end
        end
    end
    return found
end
