-- Removes every key of the session. Returns the number of keys that were removed.
local removed = 0
for _, name in ipairs(every_name()) do removed = removed + redis.call('UNLINK', prefix .. name) end
return removed
