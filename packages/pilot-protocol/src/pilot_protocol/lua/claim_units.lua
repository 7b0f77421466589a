-- Leases ready units to a pilot. Args: pilot, epoch, claim number, most units, most cores, reserve (1: one unit larger
-- than `most cores` may be taken, for which the agent keeps cores free), last order seen.
-- Returns server time, orders, then id, attempt and description of each unit. The same claim number returns the same
-- units, so that a lost reply costs nothing. What was asked for and not there makes the pilot hungry; who asks for
-- nothing is so no more.
local pilot, epoch, number = ARGV[2], ARGV[3], ARGV[4]
local want, budget, reserve = math.min(tonumber(ARGV[5]), PIECE), tonumber(ARGV[6]), ARGV[7] == '1'
local refused = refuse_unless_current(pilot, epoch)
if refused then return refused end
if barrier_stands() then return refuse('BARRIER pilots are still coming back after a restart') end

local me, owners, taken, cores = pilot_record(pilot), owners_for(pilot), {}, 0

local function candidates()
  local found = {}
  for _, owner in ipairs(owners) do
    for _, q in ipairs(queues_of(owner)) do
      if may_take(me, q) then found[#found + 1] = q end
    end
  end
  return found
end

-- Sequence number of the first unit, 0 for one that was there before; nil when the queue is empty.
local function head(q)
  if q.head then return q.head end
  local item = read('LINDEX', 'queue:' .. q.name, 0)
  if item then
    q.head = tonumber(string.match(item, '^(%d+):')) or 0
  else
    write('ZREM', 'ready:' .. q.owner, q.name)
    q.is_closed = true
  end
  return q.head
end

-- The queue to take from next, and whether another of the same priority has units as well.
local function first_of(found)
  local best, has_rival = nil, false
  for _, q in ipairs(found) do
    if not q.is_closed and q.cores > budget and not reserve then q.is_closed = true end
    if not q.is_closed and head(q) then
      if not best or q.priority > best.priority then
        best, has_rival = q, false
      elseif q.priority == best.priority then
        has_rival = true
        if q.head < best.head then best = q end
      end
    end
  end
  return best, has_rival
end

-- Canceled units leave their entries behind: they are dropped here.
local function lease(id)
  local u = id and unit(id)
  if not u or u.state ~= 'N' then return false end
  u.attempt, u.pilot = u.attempt + 1, pilot
  move(id, u, 'A')
  taken[#taken + 1] = id
  return true
end

-- Alone, a queue is taken from in one go; beside others, one by one in order of submission. Returns how many were there.
local function take_from(q, has_rival)
  local most = 1
  if not has_rival and q.cores <= budget then
    most = math.min(want - #taken, math.max(1, math.floor(budget / q.cores)))
  end
  local ids = {}
  for i, item in ipairs(write('LPOP', 'queue:' .. q.name, most) or {}) do ids[i] = string.match(item, ':(.*)$') or '' end
  fetch(ids)
  for _, id in ipairs(ids) do
    if lease(id) then
      cores = cores + q.cores
      if q.cores > budget then reserve = false else budget = budget - q.cores end
    end
  end
  q.head = nil
  return #ids
end

local function take()
  local found, popped = candidates(), 0
  while #taken < want and budget > 0 and popped < WORKLIST_LIMIT do
    local best, has_rival = first_of(found)
    if not best then break end
    popped = popped + take_from(best, has_rival)
  end
  local largest = #taken < want and budget > 0 and (reserve and me.cores or budget) or 0
  for _, owner in ipairs(owners) do
    if largest > 0 then
      write('ZADD', 'hungry:' .. owner, largest, pilot)
    else
      write('ZREM', 'hungry:' .. owner, pilot)
    end
    to_wake[owner] = true
  end
  write('LREM', 'door:' .. pilot, 0, 'work')
  -- Until its next beat, who is to place units counts on no more cores than are left.
  if cores > 0 and any('inputs') then add('pilot:' .. pilot, 'free_cores', -cores) end
end

local last = read('LRANGE', 'claim:' .. pilot, 0, -1)
if last[1] == epoch .. ':' .. number then
  for i = 2, #last do
    local u = unit(last[i])
    if u and u.pilot == pilot and u.state == 'A' then taken[#taken + 1] = last[i] end
  end
else
  take()
  write('DEL', 'claim:' .. pilot)
  write('RPUSH', 'claim:' .. pilot, epoch .. ':' .. number, unpack(taken))
  write_all('SADD', 'held:' .. pilot, taken)
end

local reply = {now, controls(pilot, tonumber(ARGV[8]) or 0)}
if #taken > 0 then
  local descriptions = read('HMGET', 'descriptions', unpack(taken))
  for i, id in ipairs(taken) do
    reply[#reply + 1] = id
    reply[#reply + 1] = unit(id).attempt
    reply[#reply + 1] = descriptions[i]
  end
end
return finish(reply)
