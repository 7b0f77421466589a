-- Forgets a replica whose files are gone, and gives its room back. Args: data unit, Pilot-Data. Returns whether there was one.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name, store = ARGV[2], ARGV[3]
local list, by = replicas_of(unit_name)
if not by[store] then return finish(0) end
reserve(by[store], 0)
local kept = {}
for _, r in ipairs(list) do
  if r.at ~= store then kept[#kept + 1] = r end
end
flush_replicas(unit_name, kept)
write('SREM', 'asked', unit_name .. ' ' .. store)
release_later(unit_name .. '@' .. store)
return finish(1)
