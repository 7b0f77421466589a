-- Head of every script, part 3: pilots, what they may take, and how they are told.
local pilots, attached, orders = {}, {}, {}
local ORDERS_PER_REPLY = 500
local UNIT_S = 10

-- A time that an agent has measured; nil for one that somebody has spoilt.
local function seconds(text)
  return text and string.match(text, '^%d[%d.]*$') and tonumber(text) or nil
end

local function pilot_record(name)
  local p = pilots[name]
  if p then return p end
  local fields = read('HMGET', 'pilot:' .. name, 'state', 'epoch', 'cores', 'node_cores', 'gpus', 'memory_mb', 'label',
                      'service', 'free_cores', 'unit_s')
  local datacenter, machine = string.match(fields[7] or '', '^([^,/|%s]*),([^,/|%s]*)$')
  p = {state = fields[1] or '', epoch = fields[2], cores = tonumber(fields[3]) or 0,
       node_cores = tonumber(fields[4]) or 0, gpus = tonumber(fields[5]) or 0,
       memory = tonumber(fields[6]) or math.huge, datacenter = datacenter or '', machine = machine or '',
       service = fields[8] or '', free = tonumber(fields[9]) or 0, unit_s = seconds(fields[10]) or UNIT_S}
  pilots[name] = p
  return p
end

local function has_ended(name)
  local state = pilot_record(name).state
  return state == 'Done' or state == 'Failed' or state == 'Canceled'
end

local function is_current(name, epoch)
  return pilot_record(name).epoch == epoch and not has_ended(name)
end

local function refuse_ended(name)
  return refuse('ENDED pilot ' .. name .. ' is ' .. pilot_record(name).state)
end

local function refuse_unless_current(name, epoch)
  local refused = refuse_unless_open()
  if refused then return refused end
  if is_current(name, epoch) then return nil end
  if has_ended(name) then return refuse_ended(name) end
  return refuse('FENCED pilot ' .. name .. ' has a newer epoch')
end

local function set_pilot(name, state, reason)
  pilot_record(name).state = state
  write('HSET', 'pilot:' .. name, 'state', state, 'reason', reason, state .. '_ms', now)
  announce('P', name .. ':' .. state)
end

-- Epochs only grow, also when the server has forgotten the last one: they follow its clock.
local function later_than(epoch)
  return math.max(now, (whole(epoch) or 0) + 1)
end

-- The compute-data services that use what a PilotComputeService or a PilotDataService has.
local function owners_of(service)
  local owners = attached[service]
  if owners then return owners end
  owners = {}
  for owner in string.gmatch(read('HGET', 'attachments', service) or '', '%S+') do owners[#owners + 1] = owner end
  attached[service] = owners
  return owners
end

local function is_attached(service, owner)
  for _, using in ipairs(owners_of(service)) do
    if using == owner then return true end
  end
  return false
end

-- Whose queues a pilot may take from: its own and those of the services that use it.
local function owners_for(name)
  return {name, unpack(owners_of(pilot_record(name).service))}
end

local function serves(name, owner)
  return name == owner or is_attached(pilot_record(name).service, owner)
end

local function ring(name, tone)
  local door = 'door:' .. name
  for _, waiting in ipairs(read('LRANGE', door, 0, -1)) do
    if waiting == tone then return end
  end
  write('RPUSH', door, tone)
end

-- Leaves a sealed order for a pilot's agent; one that the server has forgotten may still come back for it.
local function tell(name, order)
  local list = orders[name]
  if not list then list = {}; orders[name] = list end
  list[#list + 1] = order
end

-- Their numbers only grow, like epochs; they count microseconds, so that no number of orders runs ahead of the clock.
local function flush_orders()
  for name, list in pairs(orders) do
    write('HSETNX', 'pilots', name, '')
    local last = math.max(now * 1000, whole(read('HGET', 'pilot:' .. name, 'control_sequence'), 16) or 0)
    for i, order in ipairs(list) do list[i] = digits(last + i) .. ' ' .. order end
    write('HSET', 'pilot:' .. name, 'control_sequence', digits(last + #list))
    write_all('RPUSH', 'control:' .. name, list)
    ring(name, 'control')
  end
end

-- The first orders that an agent has not seen; those that it has are removed first.
local function controls(name, seen)
  local waiting, old
  repeat
    waiting, old = {}, 0
    for i, entry in ipairs(read('LRANGE', 'control:' .. name, 0, ORDERS_PER_REPLY - 1)) do
      local number = tonumber(string.match(entry, '^(%d+) '))
      if number and number > seen then
        waiting[#waiting + 1] = entry
      elseif #waiting == 0 then
        old = i
      end
    end
    if old > 0 then write('LTRIM', 'control:' .. name, old, -1) end
  until old == 0
  return waiting
end
