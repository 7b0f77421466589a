-- Ends a Pilot-Data, once. Args: Pilot-Data, state, reason. Returns whether it had not ended.
local refused = refuse_unless_open()
if refused then return refused end
local name = ARGV[2]
local state = store_state(name)
if not state or is_over(state) then return finish(0) end
write('HSET', 'pilot_data_states', name, ARGV[3] .. '|' .. ARGV[4])
announce('Q', name .. ':' .. ARGV[3])
-- What was to be made there is made nowhere, and is asked for until who finds that out forgets it; who waits for it goes
-- elsewhere.
local asked = read('SMEMBERS', 'asked')
table.sort(asked)
for _, entry in ipairs(asked) do
  local unit_name, store = string.match(entry, '^(%S+) (%S+)$')
  if store == name then release_later(unit_name .. '@' .. store) end
end
return finish(1)
