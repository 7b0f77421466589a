-- Ends a data unit, once. Args: data unit, state, reason. Returns whether it had not ended.
local refused = refuse_unless_open()
if refused then return refused end
local record = data_unit_record(ARGV[2])
if not record or is_over(record.state) then return finish(0) end
record.state, record.reason = ARGV[3], ARGV[4]
set_data_unit(ARGV[2], record)
follow_replicas(ARGV[2], (replicas_of(ARGV[2])), 0, true)
return finish(1)
