-- Forgets files of a data unit. Args: data unit, paths. Returns how many were known.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name = ARGV[2]
local files, shrunk, removed = 'files:' .. unit_name, 0, 0
for i = 3, #ARGV do
  local before = read('HGET', files, ARGV[i])
  if before then
    shrunk = shrunk + (whole(string.match(before, '^(%d+)|')) or 0)
    removed = removed + write('HDEL', files, ARGV[i])
  end
end
if removed > 0 then add('data_unit_bytes', unit_name, digits(-shrunk)) end
return finish(removed)
