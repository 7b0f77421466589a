-- Adds units. Args: group, owner, number of templates, (digest, sealed template)*, then per unit: id,
-- `queue|retries|restarts|mode predecessor …`, sealed description. A unit that exists stays as it is.
-- Returns the number of new units and the ids refused because a predecessor is unknown or the unit cannot be queued.
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
local added, refused_ids, descriptions, joining = 0, {}, {}, {}

-- Returns the state in which a unit starts and its open predecessors, or the one that failed; nil when one is unknown.
local function look_back(mode, predecessors)
  local open = {}
  for id in string.gmatch(predecessors, '%S+') do
    local predecessor = unit(id)
    if not predecessor then return nil end
    local ended_badly = predecessor.state == 'F' or predecessor.state == 'C'
    if ended_badly and mode == 'c' then return 'C', id end
    if not is_final(predecessor.state) then open[#open + 1] = id end
  end
  return #open > 0 and 'W' or 'N', open
end

local function join(id, mode, predecessors)
  write('HSET', 'open_predecessors', id, #predecessors)
  for _, predecessor in ipairs(predecessors) do
    local list = joining[predecessor]
    if not list then list = {}; joining[predecessor] = list end
    list[#list + 1] = mode .. id
  end
end

local function add_unit(id, header, description)
  if unit(id) then return end
  local queue, retries, restarts, mode, predecessors = string.match(header, '^([^|]*)|(%d+)|(%d+)|([cr]?)(.*)$')
  local q = queue and queue_named(queue)
  local state, open
  if q and q.owner == owner then state, open = look_back(mode, predecessors) end
  if not state then
    refused_ids[#refused_ids + 1] = id
    return
  end
  added = added + 1
  descriptions[#descriptions + 1] = id
  descriptions[#descriptions + 1] = description
  local u = {state = state, attempt = '0', pilot = '', retries = retries, restarts = restarts, queue = queue,
             submitted = submitted}
  units[id], changed[id] = u, u
  count(id, state, 1)
  if state == 'N' then return push(id, queue, false) end
  if state == 'W' then return join(id, mode, open) end
  explain(id, 'dependency ' .. open)
  announce('C', id)
end

for i = first, #ARGV, 3 do add_unit(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
write_all('HSET', 'descriptions', descriptions)
for predecessor, list in pairs(joining) do
  local others = read('HGET', 'successors', predecessor)
  write('HSET', 'successors', predecessor, (others and others .. ' ' or '') .. table.concat(list, ' '))
end
local reply = {added}
for _, id in ipairs(refused_ids) do reply[#reply + 1] = id end
return finish(reply)
