-- Head of every script, part 7: where a unit goes that reads data. A site is all pilots of one label. What it costs to run
-- a unit there is the time until its data is there and cores are free, in seconds, as far as anybody knows. Nothing here
-- reads or writes: the same facts give the same site.
-- Other parts know the names before the block; a script has room for 200.
local label_of, is_close, has_more_room, sites_among, choose_site, placement_after

do

local BYTES_PER_S = 100e6
local COSTS_KEPT = 10
local RANKS = {there = 1, copy = 2, straight = 3}

function label_of(place)
  return place.datacenter .. ',' .. place.machine
end

-- A place that names no machine is near all of its datacenter.
function is_close(store, site)
  return store.datacenter == site.datacenter
    and (store.machine == site.machine or store.machine == '' or site.machine == '')
end

-- Sites of the pilots that are large enough: those where the unit wants to be, or all if there are none.
function sites_among(known_pilots, q)
  local near, others = {}, {}
  for _, p in ipairs(known_pilots) do
    if fits(p, q) then
      local sites, label = is_near(p, q) and near or others, label_of(p)
      local site = sites[label]
      if not site then
        site = {label = label, datacenter = p.datacenter, machine = p.machine, cores = 0, free = 0, seconds = 0, pilots = 0}
        sites[label] = site
        sites[#sites + 1] = site
      end
      site.cores, site.free = site.cores + p.cores, site.free + math.max(p.free, 0)
      site.seconds, site.pilots = site.seconds + p.unit_s, site.pilots + 1
    end
  end
  local found = #near > 0 and near or others
  for _, site in ipairs(found) do site.unit_s = site.seconds / site.pilots end
  return found
end

function has_more_room(store, other)
  return not other or store.room > other.room or store.room == other.room and store.name < other.name
end

-- Whether an input is near a site (`here`), on its way there (`coming`), or could be brought there (`target`), and the
-- Pilot-Data; nil when nothing near the site takes it.
local function way_of(input, stores)
  local coming, target
  for _, store in ipairs(stores) do
    local letter = input.letters[store.name]
    if letter == 'D' then return 'here', store.name end
    if not input.is_over then
      if letter == 'P' or letter == 'R' then
        if not coming or store.name < coming then coming = store.name end
      elseif not letter and store.is_attached and store.room >= input.bytes and has_more_room(store, target) then
        target = store
      end
    end
  end
  if coming then return 'coming', coming end
  if target then return 'target', target.name end
  return nil
end

local function weigh(site, inputs, cores)
  local bytes, copies, is_there = 0, {}, true
  for _, input in ipairs(inputs) do
    local way, store = way_of(input, site.stores)
    is_there = is_there and way == 'here'
    if not way or way == 'target' then bytes = bytes + input.bytes end
    if way == 'coming' or way == 'target' then copies[#copies + 1] = {name = input.name, at = store} end
  end
  local ahead = site.waiting + cores
  local wait_s = site.free >= ahead and 0 or ahead / math.max(site.cores, 1) * site.unit_s
  return {site = site, label = site.label, bytes = bytes, copies = copies, cost = bytes / BYTES_PER_S + wait_s,
          kind = is_there and 'there' or #copies > 0 and 'copy' or 'straight'}
end

local function is_better(a, b)
  if a.cost ~= b.cost then return a.cost < b.cost end
  if a.bytes ~= b.bytes then return a.bytes < b.bytes end
  if a.kind ~= b.kind then return RANKS[a.kind] < RANKS[b.kind] end
  return a.label < b.label
end

-- The best of some sites, each with the stores near it and the cores that wait there already. Returns where the unit goes:
-- kind, site, bytes to move, copies to wait for, and the sites that were weighed, the best first.
function choose_site(sites, inputs, cores)
  local weighed = {}
  for i, site in ipairs(sites) do weighed[i] = weigh(site, inputs, cores) end
  table.sort(weighed, is_better)
  local best = weighed[1]
  best.weighed = weighed
  return best
end

local function placement_text(decision)
  local copies, costs = {}, {}
  for i, copy in ipairs(decision.copies) do copies[i] = copy.name .. '@' .. copy.at end
  for i = 1, math.min(#decision.weighed, COSTS_KEPT) do
    costs[i] = string.format('%s:%.3f', decision.weighed[i].label, decision.weighed[i].cost)
  end
  return table.concat({decision.kind, decision.label, digits(decision.bytes), table.concat(copies, ' '),
                       table.concat(costs, ' ')}, '|')
end

-- The text of a second decision, for who has waited for copies: what was moved stays to be seen.
function placement_after(before, decision)
  local kind, label, rest = string.match(before or '', '^(%a+)|([^|]*)(|.*)$')
  local has_waited = (kind == 'copy' or kind == 'copied') and label == decision.label
  if not has_waited or decision.kind == 'copy' then return placement_text(decision) end
  return (decision.kind == 'there' and 'copied' or decision.kind) .. '|' .. label .. rest
end

end
