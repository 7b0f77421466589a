-- Ends a Pilot-Data, once. Args: Pilot-Data, state, reason. Returns whether it had not ended.
local refused = refuse_unless_open()
if refused then return refused end
local name = ARGV[2]
local state = store_state(name)
if not state or is_over(state) then return finish(0) end
write('HSET', 'pilot_data_states', name, ARGV[3] .. '|' .. ARGV[4])
announce('Q', name .. ':' .. ARGV[3])
return finish(1)
