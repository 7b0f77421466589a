-- Adds files to a data unit, or replaces what is known of them. Args: data unit, then path, size and sealed record of each.
-- Returns how many there are; nil when the data unit is not known.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name = ARGV[2]
local record = data_unit_record(unit_name)
if not record then return finish(false) end
local files, grown = 'files:' .. unit_name, 0
for i = 3, #ARGV, 3 do
  local before = read('HGET', files, ARGV[i])
  grown = grown + ARGV[i + 1] - (before and bytes_of(string.match(before, '^(%d+)|')) or 0)
  write('HSET', files, ARGV[i], ARGV[i + 1] .. '|' .. ARGV[i + 2])
end
add('data_unit_bytes', unit_name, digits(grown))
announce('U', unit_name .. ':' .. record.state)
return finish(read('HLEN', files))
