-- Adds files that a unit has left at a Pilot-Data to a data unit. Args: pilot, epoch, unit, attempt, data unit, Pilot-Data,
-- then path, size and sealed record of each. Returns a verdict and a detail: 'over', the unit has ended in that attempt;
-- 'stale', it is not held by that pilot in that attempt; 'unit' or 'store', which has ended or is not known; 'elsewhere' and the Pilot-Data where the data unit's
-- files are; 'busy', somebody moves files there; 'full' and the bytes that are used; 'delivered'. A data unit without
-- replicas gets one there.
local refused = refuse_unless_open()
if refused then return refused end
local pilot, epoch, id, attempt, unit_name, store = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local FIRST = 8

local function is_over_here()
  local u = unit(id)
  return u and is_final(u.state) and u.pilot == pilot and u.attempt == attempt
end

local function is_held_here()
  local u = unit(id)
  if not u or is_final(u.state) or not is_current(pilot, epoch) then return false end
  if is_older(u, attempt) then adopt(id, u, attempt, pilot) end
  return u.pilot == pilot and u.attempt == attempt and is_held(u.state)
end

-- Where the files of a data unit are, as long as the place is: at its first replica that is whole, else the first that will
-- be.
local function home_of(list)
  local coming
  for _, r in ipairs(list) do
    local state = r.letter ~= 'F' and r.letter ~= 'C' and store_state(r.at)
    if state and not is_over(state) then
      if r.letter == 'D' then return r.at end
      coming = coming or r.at
    end
  end
  return coming or store
end

local function growth()
  local grown = 0
  for i = FIRST, #ARGV, 3 do
    local before = read('HGET', 'files:' .. unit_name, ARGV[i])
    grown = grown + ARGV[i + 1] - (before and bytes_of(string.match(before, '^(%d+)|')) or 0)
  end
  return grown
end

-- What has files of before that are not there, is asked for on: it gets them once nobody adds any more.
local function take(list, r)
  if not r then
    r = {at = store, letter = 'F', owner = '', ends = 0, moved = 0, reserved = 0, whole = '0', reason = ''}
    list[#list + 1] = r
  end
  if r.letter == 'R' then r.owner, r.ends, r.whole = '', 0, '0' end -- whoever had it is gone
  if r.letter ~= 'D' then r.letter = read('HLEN', 'files:' .. unit_name) == 0 and 'D' or 'P' end
  local grown, is_new = put_files(unit_name, FIRST)
  r.reason = ''
  reserve(r, math.max(r.reserved + grown, 0))
  if r.letter == 'D' then r.moved = r.reserved end
  for _, other in ipairs(list) do
    if is_new and other ~= r and other.letter == 'D' then ask_for(list, other.at) end
    if is_new and other.letter == 'R' then other.whole = '2' end
  end
  flush_replicas(unit_name, list)
end

local function deliver()
  if is_over_here() then return 'over', '' end
  if not is_held_here() then return 'stale', '' end
  local record = data_unit_record(unit_name)
  if not record or is_over(record.state) then return 'unit', '' end
  local state = store_state(store)
  if not state or is_over(state) then return 'store', '' end
  local list, by = replicas_of(unit_name)
  local home = home_of(list)
  if home ~= store then return 'elsewhere', home end
  local r = by[store]
  if r and r.letter == 'R' and r.ends > now then return 'busy', r.owner end
  local most, used = place_of_store(read('HGET', 'pilot_data_places', store)).most, used_at(store)
  local grown = growth()
  if most > 0 and grown > 0 and used + grown > most then return 'full', digits(used) end
  take(list, r)
  return 'delivered', ''
end

return finish({deliver()})
