-- Reads a data unit. Args: data unit. Returns its sealed record, its state, its bytes, how many files it has, its replicas,
-- how many units are still to add files, and the first of these that did not end well.
local refused = refuse_unless_open()
if refused then return refused end
local name = ARGV[2]
return finish({read('HGET', 'data_units', name), read('HGET', 'data_unit_states', name), read('HGET', 'data_unit_bytes', name),
               read('HLEN', 'files:' .. name), read('HGET', 'replicas', name), read('HGET', 'producers', name),
               read('HGET', 'spoilt', name)})
