-- Ends a pilot. Args: pilot, epoch ('' when the caller knows that no process of it lives), state, reason, message.
-- Returns 1, or 0 when it had ended before.
local refused = refuse_unless_open()
if refused then return refused end
local pilot, epoch = ARGV[2], ARGV[3]
if has_ended(pilot) then return finish(0) end
if epoch ~= '' and pilot_record(pilot).epoch ~= epoch then
  return refuse('FENCED pilot ' .. pilot .. ' has a newer epoch')
end
write('HSET', 'pilot:' .. pilot, 'message', ARGV[6])
end_pilot(pilot, ARGV[4], ARGV[5])
return finish(1)
