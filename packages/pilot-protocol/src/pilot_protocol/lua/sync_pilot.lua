-- An agent tells what it holds, after its reports and before its claims. Args: pilot, epoch, lease in ms,
-- (unit, attempt)*. Everything else that Redis thinks it holds goes back: without charge what had not started.
-- What Redis forgot is written again: the highest attempt wins.
-- Returns the units that the agent must drop. Those that are unknown here it keeps: their client may bring them back.
local pilot, epoch = ARGV[2], ARGV[3]
local refused = refuse_unless_current(pilot, epoch)
if refused then return refused end
write('ZADD', 'leases', now + ARGV[4], pilot)
local told, drop = {}, {}

local function must_drop(id, attempt)
  local u = unit(id)
  if not u then return false end
  if is_final(u.state) then return true end
  if not is_older(u, attempt) then return u.attempt ~= attempt or u.pilot ~= pilot or not is_held(u.state) end
  adopt(id, u, attempt, pilot)
  if u.seen then announce('N', id) end
  return false
end

local ids = held_by(pilot)
for i = 5, #ARGV, 2 do
  local id, attempt = ARGV[i], ARGV[i + 1]
  if must_drop(id, attempt) then drop[#drop + 1] = id else told[id] = true end
end
local gone = {}
for _, id in ipairs(ids) do
  if not told[id] then
    gone[#gone + 1] = id
    local u = unit(id)
    if u and u.pilot == pilot and is_held(u.state) then
      u.pilot = ''
      give_back(id, u)
    end
  end
end
write_all('SREM', 'held:' .. pilot, gone)
write('SREM', 'absent', pilot)
write('DEL', 'claim:' .. pilot)
return finish(drop)
