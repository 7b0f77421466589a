-- Leaves a sealed order for a pilot's agent. Args: pilot, order. Returns 1, or 0 when the pilot has ended.
local refused = refuse_unless_open()
if refused then return refused end
local pilot = ARGV[2]
if has_ended(pilot) then return finish(0) end
tell(pilot, ARGV[3])
return finish(1)
