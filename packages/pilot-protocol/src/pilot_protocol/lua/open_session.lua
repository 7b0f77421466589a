-- Makes the session, or joins it. Args: protocol, lease in ms, rebuilt (1: the server has lost the session, and agents
-- may hold units of it: nobody may claim for a lease). Returns protocol, lease and time of creation of the session.
local is_new = write('HSETNX', 'meta', 'protocol', ARGV[2]) == 1
write('HSETNX', 'meta', 'lease', ARGV[3])
write('HSETNX', 'meta', 'created', now)
write('HSETNX', 'meta', 'renewed', now)
write('HSETNX', 'meta', 'boot', boot)
if is_new and ARGV[4] == '1' then raise_barrier(now + ARGV[3], now + ARGV[3]) end
local refused = refuse_unless_open()
if refused then return refused end
local meta = read('HMGET', 'meta', 'protocol', 'lease', 'created')
return finish({meta[1], whole(meta[2]) or LEASE_MS, whole(meta[3]) or now})
