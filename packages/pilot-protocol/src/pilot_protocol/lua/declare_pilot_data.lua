-- Makes a Pilot-Data known, Running. Args: Pilot-Data, sealed record, then, of what placing has to know, its
-- PilotDataService, its label and the most bytes that it may hold (0: any).
local refused = refuse_unless_open()
if refused then return refused end
if write('HSETNX', 'pilot_data', ARGV[2], ARGV[3]) == 1 then
  write('HSETNX', 'pilot_data_states', ARGV[2], 'Running|')
  write('HSET', 'pilot_data_places', ARGV[2], (ARGV[4] or '') .. '|' .. (ARGV[5] or ',') .. '|' .. (ARGV[6] or '0'))
  write('RPUSH', 'pilot_data_made', ARGV[2])
  announce('Q', ARGV[2] .. ':Running')
end
return finish(1)
