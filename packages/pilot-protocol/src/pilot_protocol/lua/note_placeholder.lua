-- Notes what a client needs to find a pilot's placeholder job again. Args: pilot, the handle, made by its way of submission.
local refused = refuse_unless_open()
if refused then return refused end
local pilot = ARGV[2]
write('HSETNX', 'pilots', pilot, '')
write('HSET', 'pilot:' .. pilot, 'placeholder', ARGV[3])
return finish(1)
