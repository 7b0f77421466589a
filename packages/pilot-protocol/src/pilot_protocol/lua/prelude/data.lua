-- Head of every script, part 6: Pilot-Data, data units and replicas. One field of `replicas` has all replicas of a data
-- unit, `pilot_data|letter|owner|lease end|moved|reserved|whole|reason` each; `whole` is 1 for one that was Done, and gets
-- further files from its owner, and 2 for one that its owner does not bring all files to. A record that cannot be read counts as absent.
local BYTES_DIGITS = 16 -- counted exactly up to 9 PB
local facts = {}

local function bytes_of(text)
  return whole(text, BYTES_DIGITS) or 0
end

local function parse_replica(text)
  local at, letter, owner, ends, moved, reserved, was_whole, reason =
    string.match(text, '^([^|]+)|([PRDFC])|([^|]*)|(%d+)|(%d+)|(%d+)|([012])|([^|]*)$')
  if not at then return nil end
  return {at = at, letter = letter, owner = owner, ends = whole(ends) or 0, moved = bytes_of(moved),
          reserved = bytes_of(reserved), whole = was_whole, reason = reason}
end

local function replicas_of(unit_name)
  local list, by = {}, {}
  for text in string.gmatch(read('HGET', 'replicas', unit_name) or '', '%S+') do
    local r = parse_replica(text)
    if r and not by[r.at] then
      list[#list + 1] = r
      by[r.at] = r
    end
  end
  return list, by
end

local function write_replicas(unit_name, list)
  facts[unit_name] = nil
  local texts = {}
  for _, r in ipairs(list) do
    texts[#texts + 1] = table.concat({r.at, r.letter, r.owner, digits(r.ends), digits(r.moved), digits(r.reserved),
                                      r.whole, r.reason}, '|')
  end
  if #texts == 0 then return write('HDEL', 'replicas', unit_name) end
  write('HSET', 'replicas', unit_name, table.concat(texts, ' '))
end

-- `state|replicas asked for|reason` of a data unit; nil for one that is not known.
local function data_unit_record(name)
  local state, wanted, reason =
    string.match(read('HGET', 'data_unit_states', name) or '', '^(%a+)|(%d+)|(.*)$')
  return state and {state = state, wanted = whole(wanted) or 1, reason = reason} or nil
end

local function set_data_unit(name, record)
  facts[name] = nil
  write('HSET', 'data_unit_states', name, record.state .. '|' .. record.wanted .. '|' .. record.reason)
  announce('U', name .. ':' .. record.state)
end

local function is_over(state)
  return state == 'Done' or state == 'Failed' or state == 'Canceled'
end

local function is_in_work(letter)
  return letter == 'P' or letter == 'R'
end

-- Units that have not ended and are to add files to a data unit.
local function producers_of(name)
  return any('producers') and whole(read('HGET', 'producers', name)) or 0
end

-- What those who read a data unit want to know of it; read once per script, and again after it was changed.
local function facts_of(name)
  local known = facts[name]
  if known then return known end
  local list, by = replicas_of(name)
  known = {record = data_unit_record(name), list = list, by = by, producers = producers_of(name),
           is_spoilt = any('spoilt') and read('HEXISTS', 'spoilt', name) == 1,
           bytes = bytes_of(read('HGET', 'data_unit_bytes', name))}
  for _, r in ipairs(list) do
    known.has_whole = known.has_whole or r.letter == 'D'
    known.is_coming = known.is_coming or is_in_work(r.letter)
  end
  facts[name] = known
  return known
end

-- What a data unit's replicas make of it: state_of_replicas in data_records.py is the same.
local function derived(list, wanted, producers)
  local done, failed, in_work = 0, false, false
  for _, r in ipairs(list) do
    if r.letter == 'D' then done = done + 1 end
    failed = failed or r.letter == 'F'
    in_work = in_work or is_in_work(r.letter)
  end
  if producers > 0 then return 'Pending' end
  if done > 0 and done >= wanted then return 'Running' end
  if in_work then return 'Pending' end
  if failed then return 'Failed' end
  return done > 0 and 'Running' or 'Canceled'
end

local function first_reason(list)
  for _, r in ipairs(list) do
    if r.reason ~= '' then return r.reason end
  end
  return ''
end

-- `asked` has the replicas that somebody should make: what was asked for and nobody is to add files to, and what somebody
-- has begun. Units that wait for copies are told of those that nobody is to make now.
local function follow_replicas(unit_name, list, producers, over)
  local asked, others = {}, {}
  for _, r in ipairs(list) do
    local is_asked = not over and (r.letter == 'R' or r.letter == 'P' and producers == 0)
    local names = is_asked and asked or others
    names[#names + 1] = unit_name .. ' ' .. r.at
    if not is_asked then release_later(unit_name .. '@' .. r.at) end
  end
  write_all('SADD', 'asked', asked)
  write_all('SREM', 'asked', others)
  release_later(unit_name)
end

-- Writes the replicas of a data unit, and its state, which follows from them.
local function flush_replicas(unit_name, list)
  write_replicas(unit_name, list)
  local record = data_unit_record(unit_name)
  if not record then return end
  local producers = producers_of(unit_name)
  follow_replicas(unit_name, list, producers, is_over(record.state))
  if is_over(record.state) or #list == 0 and producers == 0 then return announce('U', unit_name .. ':' .. record.state) end
  record.state = derived(list, record.wanted, producers)
  record.reason = is_over(record.state) and first_reason(list) or ''
  set_data_unit(unit_name, record)
end

-- Asks for a replica in a list; one that is in work stays as it is. Returns whether anything was asked.
local function ask_for(list, store)
  for _, r in ipairs(list) do
    if r.at == store then
      if is_in_work(r.letter) then return false end
      r.letter, r.owner, r.ends, r.moved, r.whole, r.reason = 'P', '', 0, 0, '0', ''
      return true
    end
  end
  list[#list + 1] = {at = store, letter = 'P', owner = '', ends = 0, moved = 0, reserved = 0, whole = '0', reason = ''}
  return true
end

local function store_state(name)
  return string.match(read('HGET', 'pilot_data_states', name) or '', '^(%a+)|')
end

local function used_at(store)
  return bytes_of(read('HGET', 'pilot_data_used', store))
end

local function place_of_store(text)
  local service, label, most = string.match(text or '', '^([^|]*)|([^|]*)|(%d*)$')
  local datacenter, machine = string.match(label or '', '^([^,]*),([^,]*)$')
  return {service = service or '', datacenter = datacenter or '', machine = machine or '', most = bytes_of(most)}
end

local function reserve(replica, bytes)
  add('pilot_data_used', replica.at, digits(bytes - replica.reserved))
  replica.reserved = bytes
end

local function is_held_by(replica, owner)
  return replica ~= nil and replica.letter == 'R' and replica.owner == owner
end

-- Files of a data unit are replaced by those of the same path. `first` is where path, size and sealed record of the first
-- one are among the arguments. Returns how many bytes came to it, and whether anything changed.
local function put_files(unit_name, first)
  local files, grown, is_new = 'files:' .. unit_name, 0, false
  for i = first, #ARGV, 3 do
    local before, after = read('HGET', files, ARGV[i]), ARGV[i + 1] .. '|' .. ARGV[i + 2]
    if before ~= after then
      grown = grown + ARGV[i + 1] - (before and bytes_of(string.match(before, '^(%d+)|')) or 0)
      is_new = true
      write('HSET', files, ARGV[i], after)
    end
  end
  add('data_unit_bytes', unit_name, digits(grown))
  facts[unit_name] = nil
  return grown, is_new
end
