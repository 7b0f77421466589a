-- An agent takes up its pilot. Args: pilot, instance (a nonce of this start), lease in ms, then fields and values of
-- what it has. Returns epoch, protocol, server time. The epoch only grows, also when the server forgot the last one;
-- the same instance gets the same epoch, so that a lost reply costs nothing.
local refused = refuse_unless_open()
if refused then return refused end
local pilot, instance = ARGV[2], ARGV[3]
if has_ended(pilot) then return refuse_ended(pilot) end
local name = 'pilot:' .. pilot
local epoch = pilot_record(pilot).epoch
if read('HGET', name, 'instance') ~= instance then
  epoch = digits(later_than(epoch))
  write('HSET', name, 'epoch', epoch, 'instance', instance, unpack(ARGV, 5))
  write('DEL', 'claim:' .. pilot)
  pilots[pilot] = nil -- known as it was
  local me = pilot_record(pilot)
  if write('HSETNX', name, 'free_cores', me.cores) == 1 then me.free = me.cores end
end
write('HSET', 'pilots', pilot, read('HGET', name, 'service') or '')
write('ZADD', 'leases', now + ARGV[4], pilot)
if pilot_record(pilot).state ~= 'Running' then set_pilot(pilot, 'Running', '') end
must_place_again = true
return finish({epoch, read('HGET', 'meta', 'protocol'), now})
