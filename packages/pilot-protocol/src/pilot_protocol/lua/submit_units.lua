-- Adds units. Args: group, owner, number of templates, (digest, sealed template)*, then per unit: id,
-- `queue|retries|restarts|mode predecessor …<data unit that it reads …>data unit that it adds to …`, sealed description. A
-- unit that exists stays as it is. Returns the number of new units and the ids refused because a predecessor or a data unit
-- is unknown, what is read is added to, or the unit cannot be queued.
local refused = refuse_unless_open()
if refused then return refused end
local group, owner, templates = ARGV[2], ARGV[3], tonumber(ARGV[4])
local first = 5 + 2 * templates

local ids = {}
for i = first, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
-- Said again after its pilot has ended, a submission gets the answer that it got the first time.
if string.sub(owner, 1, 2) == 'p-' and has_ended(owner) and not (ids[1] and unit(ids[1])) then return refuse_ended(owner) end
write('HSETNX', 'groups', group, owner)
for i = 5, first - 1, 2 do write('HSETNX', 'templates', ARGV[i], ARGV[i + 1]) end

local submitted = string.format('%.0f', now)
local added, refused_ids, descriptions = 0, {}, {}

-- Whether the data units that it reads and adds to are known, and none is both.
local function has_data(reads, adds_to)
  if reads == '' and adds_to == '' then return true end
  for name in string.gmatch(reads .. ' ' .. adds_to, '%S+') do
    if not facts_of(name).record then return false end
  end
  for name in string.gmatch(adds_to, '%S+') do
    if string.find(' ' .. reads .. ' ', ' ' .. name .. ' ', 1, true) then return false end
  end
  return true
end

-- Returns the state in which a unit starts and what it waits for, or what has ended badly; nil when a predecessor is
-- unknown.
local function look_back(mode, predecessors, reads)
  local open = {}
  for id in string.gmatch(predecessors, '%S+') do
    local predecessor = unit(id)
    if not predecessor then return nil end
    local ended_badly = predecessor.state == 'F' or predecessor.state == 'C'
    if ended_badly and mode == 'c' then return 'C', id end
    if not is_final(predecessor.state) then open[#open + 1] = id end
  end
  for name in string.gmatch(reads, '%S+') do
    local verdict = judge(name, mode)
    if verdict == 'end' then return 'C', name end
    if verdict == 'wait' then open[#open + 1] = name end
  end
  return #open > 0 and 'W' or 'N', open
end

local function set_outputs(id, names)
  sizes.outputs = true
  write('HSET', 'outputs', id, names)
  for name in string.gmatch(names, '%S+') do add_producer(name) end
end

local function add_unit(id, header, description)
  if unit(id) then return end
  local queue, retries, restarts, mode, predecessors, reads, adds_to =
    string.match(header, '^([^|]*)|(%d+)|(%d+)|([cr]?)([^<>]*)<?([^<>]*)>?([^<>]*)$')
  local q = queue and queue_named(queue)
  local state, open
  if q and q.owner == owner and has_data(reads, adds_to) then state, open = look_back(mode, predecessors, reads) end
  if not state then
    refused_ids[#refused_ids + 1] = id
    return
  end
  added = added + 1
  descriptions[#descriptions + 1] = id
  descriptions[#descriptions + 1] = description
  local u = {state = state == 'N' and 'N' or 'W', attempt = '0', pilot = '', retries = retries, restarts = restarts,
             queue = queue, submitted = submitted}
  units[id], changed[id] = u, u
  count(id, u.state, 1)
  if reads ~= '' then set_inputs(id, mode, q, reads) end
  if adds_to ~= '' then set_outputs(id, adds_to) end
  if state == 'W' then return wait_for(id, mode, open) end
  if state == 'N' then 
    if reads == '' then return push(id, queue, false) end
    return make_ready(id, u, false)
  end
  explain(id, 'dependency ' .. open)
  conclude(id, u, 'C')
end

for i = first, #ARGV, 3 do add_unit(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
write_all('HSET', 'descriptions', descriptions)
local reply = {added}
for _, id in ipairs(refused_ids) do reply[#reply + 1] = id end
return finish(reply)
