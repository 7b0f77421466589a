-- Forgets files of a data unit, and gives back the room that they took where it is whole. Args: data unit, paths. Returns how
-- many were known; nil when the data unit is not known.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name = ARGV[2]
local record = data_unit_record(unit_name)
if not record then return finish(false) end
local files, shrunk, removed = 'files:' .. unit_name, 0, 0
for i = 3, #ARGV do
  local before = read('HGET', files, ARGV[i])
  if before then
    shrunk = shrunk + bytes_of(string.match(before, '^(%d+)|'))
    removed = removed + write('HDEL', files, ARGV[i])
  end
end
if removed > 0 then announce('U', unit_name .. ':' .. record.state) end
if shrunk == 0 then return finish(removed) end
local left = math.max(add('data_unit_bytes', unit_name, digits(-shrunk)), 0)
local list = replicas_of(unit_name)
for _, r in ipairs(list) do
  if r.letter == 'D' then
    r.moved = math.min(r.moved, left)
    reserve(r, r.moved)
  end
end
write_replicas(unit_name, list)
return finish(removed)
