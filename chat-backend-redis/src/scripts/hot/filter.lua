-- The Bloom filter of keys that have left a room's window, or that the archive has told. A part of some scripts, behind the prelude.
--
-- A layer has 10 bits for each key. The bits of a key lie together in one of its blocks, so that a key costs one read, and one write: the first
-- four bytes of the key say in which, and the next six say which. When a layer is full, one key in 90 is taken for one that is there. Then
-- another layer begins. The first one is small, since most rooms are; then they grow.

local BITS, BLOCK = 10, 32
local MASKS = { [0] = 1, 2, 4, 8, 16, 32, 64, 128 }

-- Lua's own way to text takes longer than the command.
local function number(value)
    return string.format('%d', value)
end

local function capacity(layer)
    return layer == 1 and 512 or 8192 * 4 ^ math.min(layer - 2, 7)
end

-- Which bytes of a key name its bits.
local FIRST, LAST = 5, 10
local byte, bor, band, rshift = string.byte, bit.bor, bit.band, bit.rshift

-- How many bytes a layer has.
local function size_of(layer)
    return capacity(layer) * BITS / 8
end

-- Where the block of a key begins in a layer of this size.
local function place_of(key, size)
    return struct.unpack('>I4', key) * BLOCK % size
end

-- Adds keys, and notes in r how full the filter is; the caller stores that.
local function remember(room, r, keys)
    local from = 1
    while from <= #keys do
        if r.fl == 0 or r.fn >= capacity(r.fl) then
            r.fl, r.fn = r.fl + 1, 0
        end
        local last = math.min(#keys, from + capacity(r.fl) - r.fn - 1)
        local F, size, blocks = TAG .. 'f' .. r.fl .. ':' .. room, size_of(r.fl), {}
        for index = from, last do
            local key = keys[index]
            local place = place_of(key, size)
            local block = blocks[place]
            if not block then
                local text = redis.call('GETRANGE', F, number(place), number(place + BLOCK - 1))
                block = { byte(text .. string.rep('\0', BLOCK - #text), 1, BLOCK) }
                blocks[place] = block
            end
            for at = FIRST, LAST do
                local place_in = byte(key, at)
                local cell = rshift(place_in, 3) + 1
                block[cell] = bor(block[cell], MASKS[place_in % 8])
            end
        end
        for place, block in pairs(blocks) do
            redis.call('SETRANGE', F, number(place), string.char(unpack(block)))
        end
        r.fn = r.fn + last - from + 1
        from = last + 1
    end
end

local function is_in(block, key)
    for at = FIRST, LAST do
        local place_in = byte(key, at)
        local cell = byte(block, rshift(place_in, 3) + 1)
        if not cell or band(cell, MASKS[place_in % 8]) == 0 then
            return false
        end
    end
    return true
end

-- Which of these keys may be in the filter: indexes -> true.
local function remembered(room, layers, keys)
    local found = {}
    for layer = layers, 1, -1 do
        local F, size = TAG .. 'f' .. layer .. ':' .. room, size_of(layer)
        for index, key in ipairs(keys) do
            if not found[index] then
                local place = place_of(key, size)
                found[index] = is_in(redis.call('GETRANGE', F, number(place), number(place + BLOCK - 1)), key)
            end
        end
    end
    return found
end
