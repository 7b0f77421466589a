-- Announces a pilot before its placeholder job is submitted, or again to a server that has forgotten it. Args: pilot,
-- service, sealed description.
local refused = refuse_unless_open()
if refused then return refused end
local pilot = ARGV[2]
if write('HSETNX', 'pilot:' .. pilot, 'created', now) == 1 then
  write('HSET', 'pilots', pilot, ARGV[3])
  write('HSET', 'pilot:' .. pilot, 'service', ARGV[3], 'description', ARGV[4])
  if pilot_record(pilot).state == '' then set_pilot(pilot, 'Pending', '') end
end
return finish(1)
