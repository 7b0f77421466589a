-- Makes a Pilot-Data known, Running. Args: Pilot-Data, sealed record.
local refused = refuse_unless_open()
if refused then return refused end
if write('HSETNX', 'pilot_data', ARGV[2], ARGV[3]) == 1 then
  write('HSETNX', 'pilot_data_states', ARGV[2], 'Running|')
  write('RPUSH', 'pilot_data_made', ARGV[2])
  announce('Q', ARGV[2] .. ':Running')
end
return finish(1)
