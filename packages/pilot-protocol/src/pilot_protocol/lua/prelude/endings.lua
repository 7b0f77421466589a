-- Head of every script, part 5: how units and pilots end, what follows from it, and the end of every script.
local VAIN_CLAIMS = 100

-- A unit that started was not handed out in vain.
local function forget_vain(id)
  if any('vain_claims') then write('HDEL', 'vain_claims', id) end
end

-- Counts a claim of a unit that did not start there; returns whether these have become too many.
local function is_poison(id)
  sizes.vain_claims = true
  return add('vain_claims', id, 1) >= VAIN_CLAIMS
end

local function conclude(id, u, letter)
  forget_vain(id)
  if any('cancels') then write('HDEL', 'cancels', id) end
  if any('successors') and read('HEXISTS', 'successors', id) == 1 then write('RPUSH', 'releases', id) end
  move(id, u, letter)
end

local function make_ready(id, u, at_front)
  if not queue_named(u.queue) then
    explain(id, 'rejected')
    return conclude(id, u, 'F')
  end
  move(id, u, 'N')
  push(id, u.queue, at_front)
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
  lose_held(pilot)
  write('ZREM', 'leases', pilot)
  write('SREM', 'absent', pilot)
  for _, per in ipairs({'held:', 'claim:', 'control:', 'door:'}) do write('DEL', per .. pilot) end
  if read('EXISTS', 'ready:' .. pilot) == 1 then write('SADD', 'abandoned', pilot) end
  for _, owner in ipairs(owners_for(pilot)) do
    write('ZREM', 'hungry:' .. owner, pilot)
    to_wake[owner] = true
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

-- `entry` is a successor's id after a letter: c, cancel it when the predecessor did not end well; r, run it anyway.
local function release(entry, predecessor, ended_well)
  local id = string.sub(entry, 2)
  local u = unit(id)
  if not u or u.state ~= 'W' then return end
  if not ended_well and string.sub(entry, 1, 1) == 'c' then
    write('HDEL', 'open_predecessors', id)
    explain(id, 'dependency ' .. predecessor)
    return conclude(id, u, 'C')
  end
  if add('open_predecessors', id, -1) > 0 then return end
  write('HDEL', 'open_predecessors', id)
  make_ready(id, u, false)
end

local function release_successors(left)
  while left > 0 do
    local id = write('LPOP', 'releases')
    if not id then break end
    local list, done, rest = read('HGET', 'successors', id) or '', unit(id), nil
    for entry, position in string.gmatch(list, '(%S+)()') do
      release(entry, id, done ~= nil and done.state == 'D')
      left = left - 1
      if left <= 0 then rest = string.match(list, '%S.*', position); break end
    end
    write('HDEL', 'successors', id)
    if rest then
      write('HSET', 'successors', id, rest)
      write('LPUSH', 'releases', id)
    end
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
  flush_queues()
  while redis.call('EXISTS', prefix .. 'releases', prefix .. 'abandoned') > 0 do
    if left <= 0 then return announce('+', 'units') end
    left = drain_abandoned(release_successors(left))
    flush_queues()
  end
end

-- Every script ends here. Bells ring last, when what they ring for has been written.
local function finish(reply)
  follow_up()
  flush_units()
  flush_orders()
  flush_events()
  for owner in pairs(to_wake) do wake(owner) end
  expire_touched()
  return reply
end
