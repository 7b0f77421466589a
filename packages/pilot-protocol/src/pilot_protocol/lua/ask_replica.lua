-- Asks for a replica; one that is in work stays as it is. Args: data unit, Pilot-Data. Returns 1; nil when the data unit is
-- not known.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name, store = ARGV[2], ARGV[3]
if not data_unit_record(unit_name) then return finish(false) end
local list = replicas_of(unit_name)
if ask_for(list, store) then flush_replicas(unit_name, list) end
return finish(1)
