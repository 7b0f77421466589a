-- An agent reports. Args: pilot, epoch, then per unit: id, attempt, letter, sealed result. Letters: S staging, R
-- running, D done, F failed, C canceled, E failed by itself (a retry may follow), L lost while running, U never started,
-- H never started because its agent chose so.
-- Returns server time, whether the epoch is the pilot's present one, and one digit per unit: 1 applied, 2 was so
-- already, 0 stale, 3 unknown (keep it: its client may bring it back).
local pilot, epoch = ARGV[2], ARGV[3]
local refused = refuse_unless_open()
if refused then return refused end
local current = is_current(pilot, epoch)
local released, results = {}, {}

-- An attempt that its own agent sent back is over: nothing that is said about it later counts.
local function send_back(id, u, in_vain)
  u.pilot = ''
  requeue(id, u, in_vain)
end

local function settle(id, u, letter, result)
  released[#released + 1] = id
  if letter == 'U' or letter == 'H' then return send_back(id, u, letter == 'U') end
  forget_vain(id)
  if letter == 'L' and spend(u, 'restarts') or letter == 'E' and spend(u, 'retries') then return send_back(id, u, false) end
  if letter == 'L' and end_if_canceled(id, u) then return end
  if result ~= '' then
    results[#results + 1] = id
    results[#results + 1] = result
  end
  conclude(id, u, (letter == 'L' or letter == 'E') and 'F' or letter)
end

-- A result that comes late, after its pilot was lost, is taken as long as nobody has started the unit again.
local function settle_late(id, u, letter, result)
  if not is_final(letter) and letter ~= 'E' then return '0' end
  if letter == 'E' and tonumber(u.retries) > 0 then return '2' end
  settle(id, u, letter, result)
  return '1'
end

local function apply(id, attempt, letter, result)
  local u = unit(id)
  if not u then return '3' end
  local is_mine = u.pilot == pilot and u.attempt == attempt
  if is_final(u.state) then return is_mine and '2' or '0' end
  if current and is_older(u, attempt) then
    adopt(id, u, attempt, pilot)
    is_mine = true
  end
  if not is_mine then return '0' end
  if u.state == 'N' or u.state == 'W' then return settle_late(id, u, letter, result) end
  if not current then return '0' end
  if letter ~= 'R' and letter ~= 'S' then
    settle(id, u, letter, result)
  elseif u.state == letter or u.state == 'R' then
    return '2'
  else
    if letter == 'R' then forget_vain(id) end
    move(id, u, letter)
  end
  return '1'
end

local ids, outcome = {}, {}
for i = 4, #ARGV, 4 do ids[#ids + 1] = ARGV[i] end
fetch(ids)
fetch_data(ids)
for i = 4, #ARGV, 4 do
  local is_known = string.match(ARGV[i + 2], '^[SRDFCELUH]$')
  outcome[#outcome + 1] = is_known and apply(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) or '0'
end
write_all('SREM', 'held:' .. pilot, released)
write_all('HSET', 'results', results)
return finish({now, current and 1 or 0, table.concat(outcome)})
