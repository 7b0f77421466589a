-- Sets how a replica ended, and gives its lease back. Args: data unit, Pilot-Data, owner, letter, bytes moved, reason.
-- Returns whether it was the owner's. One that
-- lacks what came to the data unit meanwhile is asked for on.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name = ARGV[2]
local list, by = replicas_of(unit_name)
local r = by[ARGV[3]]
if not is_held_by(r, ARGV[4]) then return finish(0) end
r.letter, r.owner, r.ends, r.moved, r.reason = ARGV[5], '', 0, bytes_of(ARGV[6]), ARGV[7]
reserve(r, r.letter == 'D' and r.moved or 0)
if r.letter == 'D' and r.whole == '2' then ask_for(list, r.at) end
flush_replicas(unit_name, list)
return finish(1)
