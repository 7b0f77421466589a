-- Adds files to a data unit, or replaces what is known of them. Args: data unit, then path, size and sealed record of each.
-- Returns how many there are; nil when the data unit is not known.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name = ARGV[2]
local record = data_unit_record(unit_name)
if not record then return finish(false) end
put_files(unit_name, 3)
announce('U', unit_name .. ':' .. record.state)
return finish(read('HLEN', 'files:' .. unit_name))
