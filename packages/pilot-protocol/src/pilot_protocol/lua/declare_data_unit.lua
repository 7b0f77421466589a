-- Makes a data unit known, Pending, without files. Args: data unit, sealed record, replicas asked for.
local refused = refuse_unless_open()
if refused then return refused end
if write('HSETNX', 'data_units', ARGV[2], ARGV[3]) == 1 then
  write('RPUSH', 'data_units_made', ARGV[2])
  set_data_unit(ARGV[2], {state = 'Pending', wanted = ARGV[4], reason = ''})
end
return finish(1)
