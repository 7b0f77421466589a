-- Head of every script, part 2: units. Records are read once, changed in `units`, and written together by flush_units.
-- A record that cannot be read counts as absent, so that it harms no other unit. Numbers stay text until something is
-- counted with them: most are only copied.
local units, changed, tally, happened = {}, {}, {}, {}
local MOST_DIGITS = 15

local function parse_unit(record)
  local state, attempt, pilot, retries, restarts, queue, submitted =
    string.match(record, '^([WNASRDFC])|(%d+)|([^|]*)|(%d+)|(%d+)|([^|]*)|(%d+)$')
  if not state or #attempt > MOST_DIGITS or #retries > MOST_DIGITS or #restarts > MOST_DIGITS
     or #submitted > MOST_DIGITS then return false end
  return {state = state, attempt = attempt, pilot = pilot, retries = retries, restarts = restarts, queue = queue,
          submitted = submitted}
end

-- Reads many records with few commands; to be called with all ids before unit() is called with each.
local function fetch(ids)
  for id, record in pairs(read_all('units', ids)) do
    if units[id] == nil then units[id] = record and parse_unit(record) end
  end
end

local function unit(id)
  if units[id] == nil then fetch({id}) end
  return units[id] or nil
end

local function is_final(letter)
  return letter == 'D' or letter == 'F' or letter == 'C'
end

local function is_held(letter)
  return letter == 'A' or letter == 'S' or letter == 'R'
end

local function is_older(u, attempt)
  return tonumber(u.attempt) < (tonumber(attempt) or 0)
end

-- Takes one off a unit's retries or restarts; returns whether there was one left.
local function spend(u, allowance)
  local left = tonumber(u[allowance])
  if left <= 0 then return false end
  u[allowance] = left - 1
  return true
end

local function count(id, letter, by)
  local group = string.match(id, '^cu%-([^-]*)%-') or '?'
  local letters = tally[group]
  if not letters then letters = {}; tally[group] = letters end
  letters[letter] = (letters[letter] or 0) + by
end

local function announce(letter, text)
  local list = happened[letter]
  if not list then list = {}; happened[letter] = list end
  list[#list + 1] = text
end

local function set_state(id, u, letter)
  count(id, u.state, -1)
  count(id, letter, 1)
  u.state = letter
  changed[id] = u
end

-- What the user can see is an event: all but the moves among the states that read as Pending. One that is back and waits
-- is told as one that is back.
local function move(id, u, letter)
  local seen = u.seen or u.state == 'R' or u.state == 'S'
  local told = letter == 'W' and 'N' or letter
  if told ~= 'A' and (told ~= 'N' or seen) then announce(told, id) end
  u.seen = nil
  set_state(id, u, letter)
end

-- Why a script, not an agent, ended a unit.
local function explain(id, reason)
  write('HSET', 'reasons', id, reason)
end

local function flush_units()
  local values = {}
  for id, u in pairs(changed) do
    values[#values + 1] = id
    values[#values + 1] =
      table.concat({u.state, u.attempt, u.pilot, u.retries, u.restarts, u.queue, u.submitted}, '|')
  end
  write_all('HSET', 'units', values)
  for group, letters in pairs(tally) do
    for letter, by in pairs(letters) do
      if by ~= 0 then add('counts', group .. '|' .. letter, by) end
    end
  end
end

local function flush_events()
  local fields = {}
  for letter, list in pairs(happened) do
    fields[#fields + 1] = letter
    fields[#fields + 1] = table.concat(list, ' ')
  end
  if #fields > 0 then write('XADD', 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', unpack(fields)) end
end
