-- Ends pilots whose lease has passed, and goes on with what other scripts had to leave. Anybody may call it at any time.
-- Returns the number of pilots that were lost.
local refused = refuse_unless_open()
if refused then return refused end
return finish(sweep_leases())
