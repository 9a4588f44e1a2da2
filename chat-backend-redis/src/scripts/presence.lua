-- What the scripts of presence share. It stands before each of them.
--
-- All of presence is in one slot: a transition touches the node's lease, the connection and the user, and is one step.
--
-- A lease's end is not written to its connections when it happens. A lease has lives, each with a number; a connection
-- belongs to a life, and is live while the life's end lies in the future. A user's record counts the connections per life, so
-- that nobody looks at connections to say who is online: it costs as much as there are nodes that the user is on. A sweep takes
-- the dead lives away afterwards, some connections at a time.
--
-- Incarnations are texts of 20 digits: the numbers of Lua are exact up to 2^53 only.

local NODES = KEYS[1]        -- hash:  node -> {life, incarnation, ends, server}
local LIVES = KEYS[2]        -- zset:  life, by when it ends
local CONNECTIONS = KEYS[3]  -- hash:  connection -> {user, incarnation, life, ended, ended until}; false where there is none
local USERS = KEYS[4]        -- hash:  user who is announced or has connections -> {announced, since, left, {life -> count}}
local HELD = KEYS[5]         -- zset:  "life:connection", by that text
local LEAVING = KEYS[6]      -- zset:  user announced as online without a connection, by when the last one went
local SEEN = KEYS[7]         -- zset:  user who is offline and announced so, by when they were last seen
local ENDED = KEYS[8]        -- zset:  connection that was ended by name, by when that may be forgotten
local FORGETTABLE = KEYS[9]  -- zset:  node, by when its record may be forgotten
local STATE = KEYS[10]       -- hash:  life -> the last number, memory -> the longest lease, which is how long an end is remembered

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A number as Redis reads it back: Lua's own text of a great one is rounded.
local function text(number)
    return string.format('%.0f', number)
end

local function get(key, field)
    local packed = redis.call('HGET', key, field)
    return packed and cmsgpack.unpack(packed)
end

local function put(key, field, record)
    redis.call('HSET', key, field, cmsgpack.pack(record))
end

local function memory()
    return tonumber(redis.call('HGET', STATE, 'memory') or '60000')
end

local ends_of_lives = {}

-- When a life ends or ended.
local function ends(life)
    local known = ends_of_lives[life]
    if not known then
        known = tonumber(redis.call('ZSCORE', LIVES, life) or '0')
        ends_of_lives[life] = known
    end
    return known
end

-- How many connections of a user are live, and the latest end of those that are not.
local function count(user)
    local live, ended = 0, false
    for life, connections in pairs(user[4]) do
        local at = ends(life)
        if at > now then
            live = live + connections
        elseif not ended or at > ended then
            ended = at
        end
    end
    return live, ended
end

-- Takes away the lives that ended, and answers how many connections are live.
local function settle(user)
    local live = 0
    local kept = {}
    for life, connections in pairs(user[4]) do
        local at = ends(life)
        if at > now then
            kept[life] = connections
            live = live + connections
        elseif not user[3] or at > user[3] then
            user[3] = at
        end
    end
    user[4] = kept
    return live
end

local function add(user, life, number)
    local connections = (user[4][life] or 0) + number
    user[4][life] = connections > 0 and connections or nil
end

-- A user has a connection of that life less, if it still counts.
local function lose(name, life)
    local user = get(USERS, name)
    if not user then
        return
    end
    if user[4][life] and ends(life) > now then
        add(user, life, -1)
        user[3] = math.max(user[3] or 0, now)
    end
    if settle(user) == 0 then
        -- Nobody was last seen before they came, whatever the clock did meanwhile.
        user[3] = math.max(user[3] or now, user[2] or 0)
        redis.call('ZADD', LEAVING, text(user[3]), name)
    else
        user[3] = false
    end
    put(USERS, name, user)
end
