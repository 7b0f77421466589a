-- Asks for a replica; one that is in work stays as it is. Args: data unit, Pilot-Data. Returns 1; nil when the data unit is
-- not known.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name, store = ARGV[2], ARGV[3]
if not data_unit_record(unit_name) then return finish(false) end
local list, by = replicas_of(unit_name)
local r = by[store]
if r and (r.letter == 'P' or r.letter == 'R') then return finish(1) end
if not r then
  r = {at = store, reserved = 0}
  list[#list + 1] = r
end
r.whole = r.letter == 'D' and '1' or '0'
r.letter, r.owner, r.ends, r.moved, r.reason = 'P', '', 0, 0, ''
flush_replicas(unit_name, list)
return finish(1)
