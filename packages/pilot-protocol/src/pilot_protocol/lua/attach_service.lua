-- Lets the pilots of a PilotComputeService run the units of compute-data services. Args: service, mode ('+' or '-'),
-- compute-data service. Returns the services attached now.
local refused = refuse_unless_open()
if refused then return refused end
local service, mode, owner = ARGV[2], ARGV[3], ARGV[4]
local attached = {}
for name in string.gmatch(read('HGET', 'attachments', service) or '', '%S+') do
  if name ~= owner then attached[#attached + 1] = name end
end
if mode == '+' then attached[#attached + 1] = owner end
write('HSET', 'attachments', service, table.concat(attached, ' '))
-- Who comes in looks at the queues itself; who goes leaves the bells that it did not answer to others.
for _, pilot in ipairs(read('ZRANGE', 'leases', 0, -1)) do
  if pilot_record(pilot).service == service then
    if mode == '+' then ring(pilot, 'work') else write('ZREM', 'hungry:' .. owner, pilot) end
  end
end
to_wake[owner] = true
return finish(attached)
