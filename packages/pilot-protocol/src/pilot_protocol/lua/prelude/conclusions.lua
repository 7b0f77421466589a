-- Head of every script, part 9: how a unit ends, and how one that another attempt has is taken over.
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

local function end_outputs(id, u, ended_well)
  local names = outputs_of(id)
  if not names or write('HDEL', 'outputs', id) == 0 then return end
  local owner = string.match(u.queue, '^[^/]*')
  for name in string.gmatch(names, '%S+') do end_producer(name, id, ended_well, owner) end
end

local function conclude(id, u, letter)
  forget_vain(id)
  if any('cancels') then write('HDEL', 'cancels', id) end
  if u.state == 'W' then write('HDEL', 'open_predecessors', id) end
  if inputs_of(id) then
    leave_copies(id, u)
    forget_inputs(id)
  end
  end_outputs(id, u, letter == 'D')
  release_later(id)
  move(id, u, letter)
end

-- The server came back without this claim, or without the return of an older one: the highest attempt wins. What the
-- user saw of the older one is told with the next move.
local function adopt(id, u, attempt, pilot)
  if u.state == 'W' then
    write('HDEL', 'open_predecessors', id)
    if inputs_of(id) and leave_copies(id, u) then forget_placement(id) end
  end
  if u.pilot ~= '' then write('SREM', 'held:' .. u.pilot, id) end
  u.seen = u.state == 'R' or u.state == 'S'
  u.attempt, u.pilot = attempt, pilot
  set_state(id, u, 'A')
  write('SADD', 'held:' .. pilot, id)
end
