-- Keeps the lease of a replica. Args: data unit, Pilot-Data, owner, bytes moved, lease in ms. Returns whether it is the
-- owner's, and the data unit has not ended.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name = ARGV[2]
local record = data_unit_record(unit_name)
local list, by = replicas_of(unit_name)
local r = by[ARGV[3]]
if not record or is_over(record.state) or not is_held_by(r, ARGV[4]) then return finish(0) end
r.moved, r.ends = bytes_of(ARGV[5]), now + ARGV[6]
write_replicas(unit_name, list)
announce('U', unit_name .. ':' .. record.state)
return finish(1)
