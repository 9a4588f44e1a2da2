-- A page of a room, of one instant. ARGV: from the third one the room, from where ('a' after, 'b' before, 'A' after the id, 'B' before
-- the id, 'n' the newest), the position or the id, 1 for the timeline, how many.
-- Answers 'C' closed; 'E' and the room, elsewhere; or 'H', the room, the place, entries, changes, 1 if there are earlier ones, 1 if there
-- are later ones. Cost: one step for each entry read, at most 4,000, and one for each change.

local room, from, timeline, limit = ARGV[3], ARGV[4], ARGV[6] == '1', tonumber(ARGV[7])
local MOST, READ_AT_ONCE = 4000, 250
LOCAL(room)
local r = load(room)
if not r or not r.open then
    return { 'C' }
end
local S = TAG .. 's:' .. room
local elsewhere = { 'E', told(r) }

local place
if from == 'n' then
    place = r.head + 1
elseif from == 'A' or from == 'B' then
    local low = struct.unpack('>I5', ARGV[5], 7)
    place = r.head - r.head % 1099511627776 + low
    if place > r.head then
        place = place - 1099511627776
    end
    local items = place >= math.max(r.first, r.oldest) and redis.call('XRANGE', S, place, place) or {}
    if not items[1] or string.sub(items[1][2][2], 1, 16) ~= ARGV[5] then
        return elsewhere
    end
else
    place = tonumber(ARGV[5])
end
local after = from == 'a' or from == 'A'
-- The first entry that can be read, and whether others precede it that cannot.
local start = math.max(r.first, r.oldest)
local cut = r.first > r.oldest

local function shown(item)
    return not timeline or string.byte(item[2][2], 17) % 2 == 1
end

local left = MOST

-- The first entries that are shown from one position on, up to `count`; forward or backward, in that order. The second answer: all of
-- the stretch was read, or enough was found.
local function find(seq, forward, count)
    local found = {}
    while true do
        if forward and seq > r.head or not forward and seq < start then
            return found, true
        end
        if left <= 0 then
            return found, false
        end
        local size = math.min(left, timeline and READ_AT_ONCE or count - #found)
        local items = forward and redis.call('XRANGE', S, seq, r.head, 'COUNT', size)
            or redis.call('XREVRANGE', S, seq, start, 'COUNT', size)
        if #items == 0 then
            return found, true
        end
        left = left - #items
        seq = seq + (forward and #items or -#items)
        for _, item in ipairs(items) do
            if shown(item) then
                found[#found + 1] = item
                if #found == count then
                    return found, true
                end
            end
        end
    end
end

local entries, earlier, later = {}, false, false
local wanted = timeline and limit + 1 or limit
if after then
    local begin = math.max(place + 1, r.oldest)
    if begin < r.first then
        return elsewhere
    end
    local all
    entries, all = find(begin, true, wanted)
    if not all then
        return elsewhere
    end
else
    local found, all = find(math.min(place - 1, r.head), false, wanted)
    if not all or #found < wanted and cut then
        return elsewhere
    end
    for index = #found, 1, -1 do
        entries[#entries + 1] = found[index]
    end
end
if timeline then
    earlier, later = not after and #entries > 0, after and #entries > 0
    if not earlier then
        local found, all = find(math.min(place, r.head), false, 1)
        if #found == 0 and (cut or not all) then
            return elsewhere
        end
        earlier = #found > 0
    end
    if not later then
        local found, all = find(math.max(place, start), true, 1)
        if not all then
            return elsewhere
        end
        later = #found > 0
    end
end

-- What was done to them, and to what those change that do not delete.
local seqs, known = {}, {}
local function changed(low, high)
    for _, seq in ipairs(redis.call('ZRANGEBYSCORE', TAG .. 'x:' .. room, low, high)) do
        if not known[seq] then
            known[seq] = true
            seqs[#seqs + 1] = tonumber(seq)
        end
    end
end
if #entries > 0 and redis.call('EXISTS', TAG .. 'x:' .. room) == 1 then
    local low = string.match(entries[1][1], '%d+')
    changed(low, string.match(entries[#entries][1], '%d+'))
    for _, item in ipairs(entries) do
        local entry = item[2][2]
        local flags = string.byte(entry, 17)
        if flags % 16 >= 8 and flags % 8 < 4 then
            local target = struct.unpack('>I8', entry, 50)
            changed(target, target)
        end
    end
    table.sort(seqs)
end
local changes = {}
for index, seq in ipairs(seqs) do
    changes[index] = redis.call('XRANGE', S, seq, seq)[1]
end
return { 'H', told(r), place, entries, changes, earlier and 1 or 0, later and 1 or 0 }
