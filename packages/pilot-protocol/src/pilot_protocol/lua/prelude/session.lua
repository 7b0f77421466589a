-- Head of every script, part 1: the session. KEYS[1] is its prefix, ARGV[1] the server's run id as the caller saw it.
-- Scripts are the only writers, and each can be said twice. They change copies of the units and write at their end, so
-- that one which fails half way leaves no unit between two places. Keys are described in keys.py, records in PROTOCOL.md.
local prefix, boot = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local DAY_S = 24 * 3600
local META_KEPT_S = 30 * DAY_S
local OTHERS_KEPT_S = META_KEPT_S + 2 * DAY_S
local LEASE_MS = 30000
local BARRIER_LEAST_MS = 1000
local EVENTS_KEPT = 2000
local WORKLIST_LIMIT = 5000
local PIECE = 1000
local SINGLE = {'meta', 'units', 'descriptions', 'templates', 'results', 'reasons', 'counts', 'groups',
                'open_predecessors', 'successors', 'releases', 'abandoned', 'cancels', 'vain_claims', 'inputs', 'outputs',
                'placements', 'unplaced', 'copying', 'pilots', 'attachments', 'leases', 'absent', 'pilot_data',
                'pilot_data_states', 'pilot_data_used', 'pilot_data_places', 'pilot_data_made', 'data_units',
                'data_unit_states', 'data_unit_bytes', 'data_units_made', 'replicas', 'asked', 'producers', 'spoilt',
                'events'}
local PER_PILOT = {'pilot:', 'held:', 'claim:', 'door:', 'control:'}

local touched, sizes = {}, {}

local function read(command, name, ...)
  return redis.call(command, prefix .. name, ...)
end

local function write(command, name, ...)
  touched[name] = true
  return redis.call(command, prefix .. name, ...)
end

-- A number that a script has written; nil for one that somebody has spoilt. Lua writes 14 digits in full by itself, and
-- counts with 16.
local function whole(text, most_digits)
  return text and #text <= (most_digits or 14) and string.match(text, '^%d+$') and tonumber(text) or nil
end

-- Values of some fields of a hash, by field, with few commands; false for one that it has not.
local function read_all(name, fields)
  local found = {}
  for i = 1, #fields, PIECE do
    local values = read('HMGET', name, unpack(fields, i, math.min(i + PIECE - 1, #fields)))
    for j, value in ipairs(values) do found[fields[i + j - 1]] = value end
  end
  return found
end

-- Without the sign of -0, which Redis does not take for a number.
local function digits(number)
  return string.format('%.0f', number + 0)
end

-- In pieces: Lua hands over some thousand values at most.
local function write_all(command, name, values)
  for i = 1, #values, PIECE do write(command, name, unpack(values, i, math.min(i + PIECE - 1, #values))) end
end

-- A number that somebody has spoilt starts again from here.
local function add(name, field, by)
  local sum = redis.pcall('HINCRBY', prefix .. name, field, by)
  touched[name] = true
  if type(sum) == 'number' then return sum end
  write('HSET', name, field, by)
  return by
end

-- Whether a hash has entries, asked once per script: most scripts end here, without a look-up per unit.
local function any(name)
  if sizes[name] == nil then sizes[name] = read('HLEN', name) > 0 end
  return sizes[name]
end

-- The record of the session goes first: as long as it is there, nothing else is missing (see renew).
local function expire(name)
  redis.call('EXPIRE', prefix .. name, name == 'meta' and META_KEPT_S or OTHERS_KEPT_S)
end

local function expire_touched()
  for name in pairs(touched) do expire(name) end
end

local function refuse(message)
  expire_touched()
  return redis.error_reply(message)
end

-- Every name that a key of this session can have.
local function every_name()
  local names, owners = {unpack(SINGLE)}, {}
  for _, pilot in ipairs(read('HKEYS', 'pilots')) do
    owners[pilot] = true
    for _, per in ipairs(PER_PILOT) do names[#names + 1] = per .. pilot end
  end
  for _, unit in ipairs(read('HKEYS', 'data_units')) do names[#names + 1] = 'files:' .. unit end
  for _, owner in ipairs(read('HVALS', 'groups')) do owners[owner] = true end
  for _, list in ipairs(read('HVALS', 'attachments')) do
    for owner in string.gmatch(list, '%S+') do owners[owner] = true end
  end
  for owner in pairs(owners) do
    for _, queue in ipairs(read('ZRANGE', 'ready:' .. owner, 0, -1)) do names[#names + 1] = 'queue:' .. queue end
    names[#names + 1] = 'ready:' .. owner
    names[#names + 1] = 'hungry:' .. owner
  end
  return names
end

-- Once a day all keys get their time to live anew, also those that nobody writes: a queue that waits for its pilot.
local function renew()
  write('HSET', 'meta', 'renewed', now)
  for _, name in ipairs(every_name()) do expire(name) end
end

local function raise_barrier(until_ms, least_ms)
  write('HSET', 'meta', 'barrier', until_ms, 'barrier_least', least_ms)
end

-- Another run id means that the server restarted or failed over, perhaps without its last second: nobody may claim
-- until every pilot has said what it holds, or a lease has passed.
local function notice_boot(known, lease)
  write('HSET', 'meta', 'boot', boot)
  if not known then return end
  raise_barrier(now + lease, now + BARRIER_LEAST_MS)
  for _, pilot in ipairs(read('ZRANGE', 'leases', 0, -1)) do
    write('SADD', 'absent', pilot)
    write('ZADD', 'leases', now + lease, pilot)
  end
end

local function refuse_unless_open()
  local meta = read('HMGET', 'meta', 'protocol', 'boot', 'lease', 'renewed')
  if not meta[1] then return refuse('NOSESSION the session is not on this server') end
  if meta[2] ~= boot then notice_boot(meta[2], whole(meta[3]) or LEASE_MS) end
  if math.abs(now - (whole(meta[4]) or 0)) > DAY_S * 1000 then renew() end
  return nil
end

local function barrier_stands()
  local meta = read('HMGET', 'meta', 'barrier', 'barrier_least')
  if not meta[1] then return false end
  local until_ms, least_ms = whole(meta[1]) or 0, whole(meta[2]) or 0
  if now < until_ms and (now < least_ms or read('SCARD', 'absent') > 0) then return true end
  write('HDEL', 'meta', 'barrier', 'barrier_least')
  write('DEL', 'absent')
  return false
end
