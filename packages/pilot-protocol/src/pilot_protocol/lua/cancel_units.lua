-- Cancels units. Args: (unit, sealed order)*. What waits is canceled here; what a pilot holds is asked of its agent.
-- Returns one digit per unit: 1 canceled, 2 had ended, 3 unknown, 4 asked of its agent.
local refused = refuse_unless_open()
if refused then return refused end

local function cancel(id, order)
  local u = unit(id)
  if not u then return '3' end
  if is_final(u.state) then return '2' end
  if is_held(u.state) then
    if write('HSETNX', 'cancels', id, 1) == 1 then tell(u.pilot, order) end
    sizes.cancels = true
    return '4'
  end
  explain(id, 'canceled')
  conclude(id, u, 'C')
  return '1'
end

local ids, outcome = {}, {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
for i = 2, #ARGV, 2 do outcome[#outcome + 1] = cancel(ARGV[i], ARGV[i + 1]) end
return finish(table.concat(outcome))
