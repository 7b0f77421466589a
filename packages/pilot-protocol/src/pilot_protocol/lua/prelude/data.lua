-- Head of the scripts about data: Pilot-Data, data units and replicas. One field of `replicas` has all replicas of a data
-- unit, `pilot_data|letter|owner|lease end|moved|reserved|whole|reason` each; `whole` is 1 for one that was Done before, and
-- is to get more files. A record that cannot be read counts as absent.
local BYTES_DIGITS = 16 -- counted exactly up to 9 PB

local function bytes_of(text)
  return whole(text, BYTES_DIGITS) or 0
end

local function parse_replica(text)
  local at, letter, owner, ends, moved, reserved, was_whole, reason =
    string.match(text, '^([^|]+)|([PRDFC])|([^|]*)|(%d+)|(%d+)|(%d+)|([01])|([^|]*)$')
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
  write('HSET', 'data_unit_states', name, record.state .. '|' .. record.wanted .. '|' .. record.reason)
  announce('U', name .. ':' .. record.state)
end

local function is_over(state)
  return state == 'Done' or state == 'Failed' or state == 'Canceled'
end

-- What a data unit's replicas make of it: state_of_replicas in data_records.py is the same.
local function derived(list, wanted)
  local done, failed = 0, false
  for _, r in ipairs(list) do
    if r.letter == 'P' or r.letter == 'R' then return 'Pending' end
    if r.letter == 'D' then done = done + 1 end
    failed = failed or r.letter == 'F'
  end
  if done > 0 and (done >= wanted or not failed) then return 'Running' end
  return failed and 'Failed' or 'Canceled'
end

local function first_reason(list)
  for _, r in ipairs(list) do
    if r.reason ~= '' then return r.reason end
  end
  return ''
end

-- Writes the replicas of a data unit, and its state, which follows from them.
local function flush_replicas(unit_name, list)
  write_replicas(unit_name, list)
  local record = data_unit_record(unit_name)
  if not record then return end
  if is_over(record.state) or #list == 0 then return announce('U', unit_name .. ':' .. record.state) end
  record.state = derived(list, record.wanted)
  record.reason = is_over(record.state) and first_reason(list) or ''
  set_data_unit(unit_name, record)
end

local function store_state(name)
  return string.match(read('HGET', 'pilot_data_states', name) or '', '^(%a+)|')
end

local function used_at(store)
  return bytes_of(read('HGET', 'pilot_data_used', store))
end

local function reserve(replica, bytes)
  add('pilot_data_used', replica.at, digits(bytes - replica.reserved))
  replica.reserved = bytes
end

local function is_held_by(replica, owner)
  return replica ~= nil and replica.letter == 'R' and replica.owner == owner
end
