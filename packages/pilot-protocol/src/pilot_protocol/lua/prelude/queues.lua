-- Head of every script, part 4: queues of ready units, and the doorbells of the pilots that wait for them.
-- A pilot is hungry for an owner's units with so many cores as its largest next one may have. Who is rung is not hungry
-- any more; its next claim says anew what it wants, and rings others for what it leaves. So no unit waits while a pilot
-- that would take it sleeps.
local queues, pushed, to_wake, sequence = {}, {}, {}, nil

-- The parts of a queue's name; nil when it is none.
local function queue_named(name)
  if queues[name] == nil then
    local owner, datacenter, machine, cores, block, gpus, memory, priority =
      string.match(name, '^([^/]*)/([^/,]*),([^/,]*)/(%d+)%.(%d+)%.(%d+)%.(%d+)/(%-?%d+)$')
    queues[name] = owner ~= nil and
      {name = name, owner = owner, datacenter = datacenter, machine = machine, cores = tonumber(cores),
       block = tonumber(block), gpus = tonumber(gpus), memory = tonumber(memory), priority = tonumber(priority)}
  end
  return queues[name] or nil
end

local function push(id, name, at_front)
  local ends = pushed[name]
  if not ends then ends = {front = {}, back = {}}; pushed[name] = ends end
  if at_front then
    ends.front[#ends.front + 1] = '0:' .. id
    return
  end
  if not sequence then sequence = whole(read('HGET', 'meta', 'sequence')) or 0 end
  sequence = sequence + 1
  ends.back[#ends.back + 1] = sequence .. ':' .. id
end

local function reversed(list)
  local turned = {}
  for i = #list, 1, -1 do turned[#turned + 1] = list[i] end
  return turned
end

local function flush_queues()
  if next(pushed) and sequence then write('HSET', 'meta', 'sequence', sequence) end
  for name, ends in pairs(pushed) do
    local q = queue_named(name)
    write('ZADD', 'ready:' .. q.owner, q.priority, name)
    write_all('LPUSH', 'queue:' .. name, reversed(ends.front))
    write_all('RPUSH', 'queue:' .. name, ends.back)
    if string.sub(q.owner, 1, 2) == 'p-' and has_ended(q.owner) then write('SADD', 'abandoned', q.owner) end
    to_wake[q.owner] = true
  end
  pushed = {}
end

local function queues_of(owner)
  local found = {}
  for _, name in ipairs(read('ZRANGE', 'ready:' .. owner, 0, -1)) do
    local q = queue_named(name)
    if q then found[#found + 1] = q else write('ZREM', 'ready:' .. owner, name) end
  end
  return found
end

local function fits(p, q)
  return q.cores <= p.cores and q.block <= p.node_cores and q.gpus <= p.gpus and q.memory <= p.memory
end

local function is_near(p, q)
  return (q.datacenter == '' or q.datacenter == p.datacenter) and (q.machine == '' or q.machine == p.machine)
end

-- A wish for a place yields when no living pilot that could take the unit is there.
local function can_be_near(q)
  if q.can_be_near == nil then
    q.can_be_near = false
    for _, name in ipairs(read('ZRANGE', 'leases', 0, -1)) do
      local p = pilot_record(name)
      if is_near(p, q) and fits(p, q) and serves(name, q.owner) then q.can_be_near = true; break end
    end
  end
  return q.can_be_near
end

local function may_take(p, q)
  return fits(p, q) and (is_near(p, q) or not can_be_near(q))
end

-- Takes off what a pilot with so many cores can take; returns whether it was anything.
local function feed(p, cores, waiting)
  local has_food = false
  for _, q in ipairs(waiting) do
    if q.left > 0 and q.cores <= cores and may_take(p, q) then
      local portion = math.min(q.left, math.max(1, math.floor(cores / q.cores)))
      q.left, cores = q.left - portion, cores - portion * q.cores
      has_food = true
    end
  end
  return has_food
end

local function smallest(waiting)
  local least = math.huge
  for _, q in ipairs(waiting) do
    if q.left > 0 then least = math.min(least, q.cores) end
  end
  return least
end

-- Rings as many hungry pilots as the waiting units can feed, those that take the largest first; never all of them.
local function wake(owner)
  local hungry = read('ZREVRANGE', 'hungry:' .. owner, 0, -1, 'WITHSCORES')
  if #hungry == 0 then return end
  local waiting = queues_of(owner)
  for _, q in ipairs(waiting) do q.left = read('LLEN', 'queue:' .. q.name) end
  for i = 1, #hungry, 2 do
    local name, cores = hungry[i], tonumber(hungry[i + 1])
    if cores < smallest(waiting) then return end
    local ended = has_ended(name)
    if ended or feed(pilot_record(name), cores, waiting) then
      write('ZREM', 'hungry:' .. owner, name)
      if not ended then ring(name, 'work') end
    end
  end
end
