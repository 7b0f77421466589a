-- Head of every script, part 10: how units come back and pilots end, what follows from it, and the end of every script.

local PLACING = 2 -- entries of the worklist that take as long as to place one unit

-- A unit whose predecessors have ended is ready, unless it reads data that is not there, or no more.
local function make_ready(id, u, at_front)
  if not queue_named(u.queue) then
    explain(id, 'rejected')
    return conclude(id, u, 'F')
  end
  local wants = inputs_of(id)
  if not wants then return enqueue(id, u, u.queue, at_front) end
  local waits, waited = {}, leave_copies(id, u)
  for _, name in ipairs(wants.names) do
    local verdict = judge(name, wants.mode)
    if verdict == 'end' then
      if waited then forget_placement(id) end
      explain(id, 'dependency ' .. name)
      return conclude(id, u, 'C')
    end
    if verdict == 'wait' then waits[#waits + 1] = name end
  end
  if #waits == 0 then return place(id, u, wants, at_front) end
  if waited then forget_placement(id) end
  move(id, u, 'W')
  wait_for(id, wants.mode, waits)
end

local function end_if_canceled(id, u)
  if not any('cancels') or read('HEXISTS', 'cancels', id) == 0 then return false end
  explain(id, 'canceled')
  conclude(id, u, 'C')
  return true
end

-- Back to the front of its queue, unless the user has canceled it meanwhile. `in_vain`: it was to start, and had not.
local function requeue(id, u, in_vain)
  if end_if_canceled(id, u) then return end
  if in_vain and is_poison(id) then
    explain(id, 'poison')
    return conclude(id, u, 'F')
  end
  make_ready(id, u, true)
end

-- The pilot that held it is gone, or holds it no more. What had not started costs nothing.
local function give_back(id, u)
  if u.state ~= 'R' then return requeue(id, u, true) end
  if spend(u, 'restarts') then return requeue(id, u, false) end
  if end_if_canceled(id, u) then return end
  explain(id, 'lost')
  conclude(id, u, 'F')
end

-- What a pilot holds, in order of submission as far as ids tell, read for unit().
local function held_by(pilot)
  local ids = read('SMEMBERS', 'held:' .. pilot)
  table.sort(ids, function(a, b) return #a < #b or #a == #b and a < b end)
  fetch(ids)
  return ids
end

local function lose_held(pilot)
  for _, id in ipairs(held_by(pilot)) do
    local u = unit(id)
    if u and u.pilot == pilot and is_held(u.state) then give_back(id, u) end
  end
end

-- Ends a pilot: a newer epoch fences its agent, its units go elsewhere, and so do the bells that it did not answer.
local function end_pilot(pilot, state, reason)
  write('HSETNX', 'pilots', pilot, '') -- who was forgotten here must not come back, and must be found by who removes all
  set_pilot(pilot, state, reason)
  local epoch = later_than(pilot_record(pilot).epoch)
  write('HSET', 'pilot:' .. pilot, 'epoch', epoch)
  write('ZREM', 'leases', pilot)
  forget_sites()
  lose_held(pilot)
  must_place_again = true
  write('SREM', 'absent', pilot)
  for _, per in ipairs({'held:', 'claim:', 'control:', 'door:'}) do write('DEL', per .. pilot) end
  if read('EXISTS', 'ready:' .. pilot) == 1 then write('SADD', 'abandoned', pilot) end
  for _, owner in ipairs(owners_for(pilot)) do
    write('ZREM', 'hungry:' .. owner, pilot)
    to_wake[owner] = true
    leave_site(owner, pilot_record(pilot))
  end
end

-- Ends the pilots whose lease has passed; not while they may still be coming back. Returns how many.
local function sweep_leases()
  if barrier_stands() then return 0 end
  local ended, left = 0, WORKLIST_LIMIT
  for _, pilot in ipairs(read('ZRANGEBYSCORE', 'leases', '-inf', now)) do
    if left <= 0 then
      announce('+', 'leases')
      break
    end
    left = left - 1 - read('SCARD', 'held:' .. pilot)
    end_pilot(pilot, 'Failed', 'lost')
    ended = ended + 1
  end
  return ended
end

-- What the end of something means for who waits for it: go, wait (a data unit may be waited for again), or end.
local function verdict_of(name, mode)
  if string.find(name, '@', 1, true) then return 'go' end
  if string.sub(name, 1, 3) == 'du-' then return judge(name, mode) end
  local predecessor = unit(name)
  return (mode == 'r' or predecessor and predecessor.state == 'D') and 'go' or 'end'
end

local function release(id, predecessor, verdict)
  local u = unit(id)
  if not u or u.state ~= 'W' then return end
  if verdict == 'end' then
    explain(id, 'dependency ' .. predecessor)
    return conclude(id, u, 'C')
  end
  if add('open_predecessors', id, -1) > 0 then return end
  write('HDEL', 'open_predecessors', id)
  make_ready(id, u, false)
end

-- Entries of `successors` are ids after their mode. Those that have to wait on are set aside.
local function release_all(name, left)
  local verdicts = {c = verdict_of(name, 'c'), r = verdict_of(name, 'r')}
  if verdicts.c == 'wait' and verdicts.r == 'wait' then return left end
  local list, kept, rest = read('HGET', 'successors', name) or '', {}, nil
  for entry, position in string.gmatch(list, '(%S+)()') do
    local verdict = verdicts[string.sub(entry, 1, 1)]
    if verdict == 'wait' then
      kept[#kept + 1] = entry
    else
      local id = string.sub(entry, 2)
      left = left - (inputs_of(id) and PLACING or 1)
      release(id, name, verdict or 'go')
      if left <= 0 then rest = string.match(list, '%S.*', position); break end
    end
  end
  if rest then
    kept[#kept + 1] = rest
    write('LPUSH', 'releases', name)
  end
  if #kept > 0 then
    write('HSET', 'successors', name, table.concat(kept, ' '))
  else
    write('HDEL', 'successors', name)
  end
  return left
end

-- Pilots have come or gone: the first so many units that were placed nowhere are placed again.
local function place_again(number, left)
  local portion = math.min(number, math.ceil(left / PLACING))
  local ids = write('LPOP', 'unplaced', portion) or {}
  fetch(ids)
  for _, id in ipairs(ids) do
    local u = unit(id)
    if u and u.state == 'W' and read('HEXISTS', 'open_predecessors', id) == 0 then make_ready(id, u, false) end
  end
  if number > portion then write('LPUSH', 'releases', 'unplaced:' .. number - portion) end
  return left - portion * PLACING
end

-- No pilot of its site can take what is in a queue: the first so many units are placed again, if they read data.
local function place_queued(number, name, left)
  local portion = math.min(number, math.ceil(left / PLACING))
  for _, id in ipairs(leave_queue(queue_named(name), portion)) do make_ready(id, unit(id), false) end
  if number > portion then write('LPUSH', 'releases', 'queue:' .. number - portion .. ':' .. name) end
  return left - portion * PLACING
end

local function release_one(name, left)
  local unplaced = whole(string.match(name, '^unplaced:(%d+)$'))
  if unplaced then return place_again(unplaced, left) end
  local queued, queue = string.match(name, '^queue:(%d+):(.*)$')
  if queued then return place_queued(whole(queued), queue, left) end
  return release_all(name, left)
end

local function release_successors(left)
  while left > 0 do
    flush_joins()
    local name = write('LPOP', 'releases')
    if not name then break end
    left = release_one(name, left)
  end
  return left
end

local function drain(owner, queue, left)
  local letter = pilot_record(owner).state == 'Failed' and 'F' or 'C'
  local items = write('LPOP', 'queue:' .. queue.name, left) or {}
  for _, item in ipairs(items) do
    local id = string.match(item, ':(.*)$')
    local u = id and unit(id)
    if u and u.state == 'N' then
      explain(id, letter == 'F' and 'lost' or 'canceled')
      conclude(id, u, letter)
    end
  end
  if #items < left then write('ZREM', 'ready:' .. owner, queue.name) end
  return left - #items
end

-- What waits in the own queues of pilots that ended can never run.
local function drain_abandoned(left)
  for _, owner in ipairs(read('SMEMBERS', 'abandoned')) do
    for _, queue in ipairs(has_ended(owner) and queues_of(owner) or {}) do
      if left <= 0 then return left end
      left = drain(owner, queue, left)
    end
    if left <= 0 then return left end
    write('SREM', 'abandoned', owner)
  end
  return left
end

-- Ends have consequences, which are ends again. The worklist bounds the time of one script; the next script of anybody
-- goes on, and an event tells that there is something to go on with.
local function follow_up()
  local left = WORKLIST_LIMIT
  local unplaced = must_place_again and read('LLEN', 'unplaced') or 0
  if unplaced > 0 then write('RPUSH', 'releases', 'unplaced:' .. unplaced) end
  flush_queues()
  give_up_sites()
  while redis.call('EXISTS', prefix .. 'releases', prefix .. 'abandoned') > 0 do
    if left <= 0 then return announce('+', 'units') end
    left = drain_abandoned(release_successors(left))
    flush_queues()
  end
end

-- Every script ends here. Bells ring last, when what they ring for has been written.
local function finish(reply)
  follow_up()
  flush_joins()
  flush_placements()
  flush_units()
  flush_orders()
  flush_events()
  for owner in pairs(to_wake) do wake(owner) end
  expire_touched()
  return reply
end
