-- Announces a pilot before its placeholder job is submitted. Args: pilot, service, sealed description.
local refused = refuse_unless_open()
if refused then return refused end
local pilot = ARGV[2]
if write('HSETNX', 'pilots', pilot, ARGV[3]) == 1 then
  write('HSET', 'pilot:' .. pilot, 'service', ARGV[3], 'description', ARGV[4], 'created', now)
  set_pilot(pilot, 'Pending', '')
end
return finish(1)
