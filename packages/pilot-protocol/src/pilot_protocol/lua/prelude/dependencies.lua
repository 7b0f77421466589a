-- Head of every script, part 5: what waits for what. A unit waits for units, for data units, and for copies, which are named
-- `<data unit>@<Pilot-Data>`. `successors` has who waits for a name, `open_predecessors` for how many a unit waits; names
-- that may be waited for no more are put into `releases`, which every script goes through at its end.
local joining = {}

-- `mode` is c, to be canceled when what it waits for does not end well; or r, to be run anyway.
local function wait_for(id, mode, names)
  write('HSET', 'open_predecessors', id, #names)
  sizes.successors = true
  for _, name in ipairs(names) do
    local list = joining[name]
    if not list then list = {}; joining[name] = list end
    list[#list + 1] = mode .. id
  end
end

local function flush_joins()
  if not next(joining) then return end
  for name, list in pairs(joining) do
    local others = read('HGET', 'successors', name)
    write('HSET', 'successors', name, (others and others .. ' ' or '') .. table.concat(list, ' '))
  end
  joining = {}
end

local function release_later(name)
  if joining[name] or any('successors') and read('HEXISTS', 'successors', name) == 1 then write('RPUSH', 'releases', name) end
end
