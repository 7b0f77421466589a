-- Head of every script, part 8: units that read data units or add to them. They wait until their data is there, then go to
-- a site (see placing.lua), and may wait for copies near it. What is known of sites is gathered once per script.
local must_place_again
-- Other parts know the names before the block; a script has room for 200.
local fetch_data, inputs_of, outputs_of, set_inputs, forget_inputs, judge, add_producer, end_producer, forget_sites, leave_copies,
      forget_placement, flush_placements, enqueue, place, leave_site, give_up_sites, leave_queue

do

local inputs, placements, placed, loads, living, sites, stores, left_sites = {}, {}, {}, {}, {}, {}, {}, {}
local fetched = {inputs = {}, outputs = {}}
local all_stores

-- Reads with few commands what many units read and add to, most of them nothing.
function fetch_data(ids)
  for name in pairs(fetched) do
    if any(name) then fetched[name] = read_all(name, ids) end
  end
end

local function data_of(name, id)
  if not any(name) then return nil end
  local text = fetched[name][id]
  if text == nil then text = read('HGET', name, id) end
  return text or nil
end

-- The names of the data units that a unit adds to; nil for most.
function outputs_of(id)
  return data_of('outputs', id)
end

-- What a unit reads; nil for most.
function inputs_of(id)
  if not any('inputs') then return nil end
  if inputs[id] == nil then
    local mode, datacenter, machine, names =
      string.match(data_of('inputs', id) or '', '^([cr]) ([^,%s]*),([^,%s]*)(.*)$')
    inputs[id] = false
    if mode then
      inputs[id] = {mode = mode, datacenter = datacenter, machine = machine, names = {}}
      for name in string.gmatch(names, '%S+') do table.insert(inputs[id].names, name) end
    end
  end
  return inputs[id] or nil
end

function set_inputs(id, mode, q, names)
  sizes.inputs = true
  write('HSET', 'inputs', id, mode .. ' ' .. label_of(q) .. ' ' .. names)
  placements[id] = false
end

function forget_inputs(id)
  write('HDEL', 'inputs', id)
  inputs[id] = false
end

-- What a data unit means for who reads it: go, wait, or end. Nothing is read while files are still added; what was added
-- by units that failed is read only by who wants to run anyway.
function judge(name, mode)
  local known = facts_of(name)
  if not known.record then return 'end' end
  local may_read = mode == 'r' or not known.is_spoilt and not (is_over(known.record.state) and known.record.state ~= 'Done')
  if not may_read then return 'end' end
  if is_over(known.record.state) then return known.has_whole and 'go' or 'end' end
  if known.producers > 0 then return 'wait' end
  if known.has_whole then return 'go' end
  return known.is_spoilt and not known.is_coming and 'end' or 'wait'
end

function add_producer(name)
  sizes.producers = true
  facts[name] = nil
  if add('producers', name, 1) == 1 then flush_replicas(name, (replicas_of(name))) end
end

local function hash(name)
  local found, flat = {}, read('HGETALL', name)
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function running_stores()
  if all_stores then return all_stores end
  all_stores = {}
  local places, used = hash('pilot_data_places'), hash('pilot_data_used')
  for name, state in pairs(hash('pilot_data_states')) do
    if string.match(state, '^Running|') then
      local store = place_of_store(places[name])
      store.name, store.room = name, store.most > 0 and store.most - bytes_of(used[name]) or math.huge
      all_stores[#all_stores + 1] = store
    end
  end
  return all_stores
end

-- Running Pilot-Data, and whether an owner's units may have replicas made there.
local function stores_for(owner)
  if stores[owner] then return stores[owner] end
  stores[owner] = {}
  for i, store in ipairs(running_stores()) do
    stores[owner][i] = {name = store.name, datacenter = store.datacenter, machine = store.machine, room = store.room,
                        is_attached = is_attached(store.service, owner)}
  end
  return stores[owner]
end

-- A data unit that is complete gets as many replicas as it asks for, as far as there is room.
local function ask_missing(name, list, owner)
  local record, missing, has = data_unit_record(name), 0, {}
  if not record then return end
  missing = record.wanted
  local has_whole = false
  for _, r in ipairs(list) do
    has[r.at], has_whole = true, has_whole or r.letter == 'D'
    if r.letter == 'D' or is_in_work(r.letter) then missing = missing - 1 end
  end
  if missing <= 0 or not has_whole or is_over(record.state) then return end
  local bytes, targets = bytes_of(read('HGET', 'data_unit_bytes', name)), {}
  for _, store in ipairs(stores_for(owner)) do
    if not has[store.name] and store.is_attached and store.room >= bytes then targets[#targets + 1] = store end
  end
  table.sort(targets, has_more_room)
  for i = 1, math.min(missing, #targets) do ask_for(list, targets[i].name) end
end

function end_producer(name, id, ended_well, owner)
  facts[name] = nil
  local is_first = false
  if not ended_well then
    is_first = write('HSETNX', 'spoilt', name, id) == 1
    sizes.spoilt = true
  end
  if add('producers', name, -1) > 0 then
    if is_first then release_later(name) end
    return
  end
  write('HDEL', 'producers', name)
  local list = replicas_of(name)
  ask_missing(name, list, owner)
  flush_replicas(name, list)
end

-- Cores of an owner's units that wait, by the label of their queue or of the site that they wait to get copies at.
local function load_of(owner)
  if loads[owner] then return loads[owner] end
  local load = {}
  local function count_in(label, cores) load[label] = (load[label] or 0) + cores end
  for _, q in ipairs(queues_of(owner)) do count_in(label_of(q), read('LLEN', 'queue:' .. q.name) * q.cores) end
  for name, ends in pairs(pushed) do
    local q = queue_named(name)
    if q.owner == owner then count_in(label_of(q), (#ends.front + #ends.back) * q.cores) end
  end
  for field, cores in pairs(hash('copying')) do
    local whose, label = string.match(field, '^([^/]*)/(.*)$')
    if whose == owner then count_in(label, whole(cores) or 0) end
  end
  loads[owner] = load
  return load
end

local function add_load(owner, label, cores)
  local load = load_of(owner)
  load[label] = (load[label] or 0) + cores
end

local function living_pilots(owner)
  if living[owner] then return living[owner] end
  living[owner] = {}
  for _, name in ipairs(read('ZRANGE', 'leases', 0, -1)) do
    local p = pilot_record(name)
    if p.state == 'Running' and serves(name, owner) then table.insert(living[owner], p) end
  end
  return living[owner]
end

-- Pilots have come or gone.
function forget_sites()
  living, sites = {}, {}
end

local function sites_for(q, wants)
  local key = table.concat({q.owner, q.cores, q.block, q.gpus, q.memory, label_of(wants)}, '/')
  if not sites[key] then
    sites[key] = sites_among(living_pilots(q.owner), {cores = q.cores, block = q.block, gpus = q.gpus, memory = q.memory,
                                                      datacenter = wants.datacenter, machine = wants.machine})
    for _, site in ipairs(sites[key]) do
      site.stores = {}
      for _, store in ipairs(stores_for(q.owner)) do
        if is_close(store, site) then table.insert(site.stores, store) end
      end
    end
  end
  if #sites[key] == 0 then return sites[key] end
  local load = load_of(q.owner)
  for _, site in ipairs(sites[key]) do
    site.waiting = (load[site.label] or 0) + (site.label ~= ',' and load[','] or 0)
  end
  return sites[key]
end

local function placement_of(id)
  if placements[id] == nil then placements[id] = read('HGET', 'placements', id) or false end
  return placements[id] or nil
end

local function set_placement(id, text)
  placements[id], placed[id] = text, text
end

function flush_placements()
  local values = {}
  for id, text in pairs(placed) do
    values[#values + 1] = id
    values[#values + 1] = text
  end
  write_all('HSET', 'placements', values)
end

-- Whoever waits for copies counts as work of the site until it waits no more. Returns whether it did.
function leave_copies(id, u)
  local label = string.match(placement_of(id) or '', '^copy|([^|]*)|')
  local q = label and queue_named(u.queue)
  if not q then return false end
  local field = q.owner .. '/' .. label
  add_load(q.owner, label, -q.cores)
  if add('copying', field, -q.cores) <= 0 then write('HDEL', 'copying', field) end
  return true
end

function forget_placement(id)
  placements[id], placed[id] = false, nil
  write('HDEL', 'placements', id)
end

local function wait_for_copies(id, u, q, decision)
  local names = {}
  for i, copy in ipairs(decision.copies) do
    local list = facts_of(copy.name).list
    if ask_for(list, copy.at) then flush_replicas(copy.name, list) end
    names[i] = copy.name .. '@' .. copy.at
  end
  add_load(q.owner, decision.label, q.cores)
  add('copying', q.owner .. '/' .. decision.label, q.cores)
  move(id, u, 'W')
  wait_for(id, 'r', names)
end

function enqueue(id, u, name, at_front)
  u.queue = name
  move(id, u, 'N')
  push(id, name, at_front)
end

-- Sends a unit, whose data is there, to the site where it is likely to run first. Without any it waits for a pilot.
function place(id, u, wants, at_front)
  local q = queue_named(u.queue)
  if string.sub(q.owner, 1, 2) == 'p-' and has_ended(q.owner) then
    forget_placement(id)
    return enqueue(id, u, u.queue, at_front)
  end
  local found = sites_for(q, wants)
  if #found == 0 then
    set_placement(id, 'nowhere||0||')
    write('RPUSH', 'unplaced', id)
    return move(id, u, 'W')
  end
  local wanted = {}
  for i, name in ipairs(wants.names) do
    local known = facts_of(name)
    local letters = {}
    for at, r in pairs(known.by) do letters[at] = r.letter end
    wanted[i] = {name = name, bytes = known.bytes, is_over = is_over(known.record.state), letters = letters}
  end
  local decision = choose_site(found, wanted, q.cores)
  set_placement(id, placement_after(placement_of(id), decision))
  if decision.kind == 'copy' then return wait_for_copies(id, u, q, decision) end
  add_load(q.owner, decision.label, q.cores)
  enqueue(id, u, q.owner .. '/' .. decision.label .. string.match(u.queue, '^[^/]*/[^/]*(/.*)$'), at_front)
end

-- A pilot takes no more of an owner's units; give_up_sites looks whether others of its site do.
function leave_site(owner, p)
  if any('inputs') then left_sites[owner .. '/' .. label_of(p)] = p end
end

-- Whether an owner has a pilot at a site; with a queue, one that is large enough for its units.
local function has_pilot(owner, label, q)
  for _, p in ipairs(living_pilots(owner)) do
    if label_of(p) == label and (not q or fits(p, q)) then return true end
  end
  return false
end

-- What waits for copies near some places is placed anew: if nobody is there, nobody may ever make them.
local function give_up_copies(places)
  local is_near_one = {}
  for _, store in ipairs(running_stores()) do
    for _, p in ipairs(places) do is_near_one[store.name] = is_near_one[store.name] or is_close(store, p) end
  end
  local asked = read('SMEMBERS', 'asked')
  table.sort(asked)
  for _, entry in ipairs(asked) do
    local unit_name, store = string.match(entry, '^(%S+) (%S+)$')
    if is_near_one[store] then release_later(unit_name .. '@' .. store) end
  end
end

-- What waits for sites that have no pilot any more, for copies or for cores, is placed anew.
function give_up_sites()
  local keys, places = {}, {}
  for key in pairs(left_sites) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local owner, label = string.match(key, '^([^/]*)/(.*)$')
    for _, q in ipairs(has_ended(owner) and {} or queues_of(owner)) do
      local is_left = label_of(q) == label and not has_pilot(owner, label, q)
      local number = is_left and read('LLEN', 'queue:' .. q.name) or 0
      if number > 0 then write('RPUSH', 'releases', 'queue:' .. number .. ':' .. q.name) end
    end
    if not has_pilot(owner, label) then places[#places + 1] = left_sites[key] end
  end
  if #places > 0 then give_up_copies(places) end
  left_sites = {}
end

-- Takes the first so many out of a queue and returns those that read data; the others keep their order.
function leave_queue(q, number)
  load_of(q.owner) -- as it was
  local ids, kept, found, moves = {}, {}, {}, {}
  local items = write('LPOP', 'queue:' .. q.name, number) or {}
  for i, item in ipairs(items) do ids[i] = string.match(item, ':(.*)$') or '' end
  fetch(ids)
  for i, id in ipairs(ids) do
    local u = unit(id)
    if u and u.state == 'N' and u.queue == q.name and inputs_of(id) and not moves[id] then
      found[#found + 1], moves[id] = id, true
      add_load(q.owner, label_of(q), -q.cores)
    else
      kept[#kept + 1] = items[i]
    end
  end
  write_all('RPUSH', 'queue:' .. q.name, kept)
  return found
end

end
