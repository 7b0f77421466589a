-- An agent lives. Args: pilot, epoch, lease in ms, last order seen, then fields and values of its record.
-- Renews the lease, ends pilots whose lease has passed, and rings for units that wait although somebody could take them.
-- Returns server time, whether the agent must sync, orders, and whether replicas are asked for while units read data.
local pilot, epoch = ARGV[2], ARGV[3]
local refused = refuse_unless_current(pilot, epoch)
if refused then return refused end
write('ZADD', 'leases', now + ARGV[4], pilot)
if #ARGV > 5 then write('HSET', 'pilot:' .. pilot, unpack(ARGV, 6)) end
sweep_leases()


local function has_food(owner)
  for _, q in ipairs(queues_of(owner)) do
    if read('LLEN', 'queue:' .. q.name) > 0 and may_take(pilot_record(pilot), q) then return true end
  end
  return false
end

-- Who is not hungry has got all that it asked for, or was rung. That bell may have been lost with a connection, so it
-- rings again as long as there is something to take; an agent without room passes it on.
for _, owner in ipairs(owners_for(pilot)) do
  if not read('ZSCORE', 'hungry:' .. owner, pilot) and has_food(owner) then ring(pilot, 'work') end
  to_wake[owner] = true
end
return finish({now, read('SISMEMBER', 'absent', pilot), controls(pilot, tonumber(ARGV[5]) or 0),
               any('inputs') and read('EXISTS', 'asked') or 0})
