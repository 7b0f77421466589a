-- Lets the pilots of a PilotComputeService run the units of compute-data services, or the Pilot-Data of a PilotDataService
-- get what these units read. Args: service, mode ('+' or '-'), compute-data service. Returns the services attached now.
local refused = refuse_unless_open()
if refused then return refused end
local service, mode, owner = ARGV[2], ARGV[3], ARGV[4]
local using = {}
for _, name in ipairs(owners_of(service)) do
  if name ~= owner then using[#using + 1] = name end
end
if mode == '+' then using[#using + 1] = owner end
attached[service] = using
write('HSET', 'attachments', service, table.concat(using, ' '))
must_place_again = mode == '+'
-- Who comes in looks at the queues itself; who goes leaves the bells that it did not answer to others.
for _, pilot in ipairs(read('ZRANGE', 'leases', 0, -1)) do
  if pilot_record(pilot).service == service then
    if mode == '+' then
      ring(pilot, 'work')
    else
      write('ZREM', 'hungry:' .. owner, pilot)
      leave_site(owner, pilot_record(pilot))
    end
  end
end
to_wake[owner] = true
return finish(using)
