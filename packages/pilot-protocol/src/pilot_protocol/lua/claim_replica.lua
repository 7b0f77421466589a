-- Takes the lease of a replica, and the room for it. Args: data unit, Pilot-Data, owner, bytes, most bytes at the Pilot-Data
-- (0: any), lease in ms, reason for no room, and 1 for one that is whole and gets more files. Returns 'granted'; 'done';
-- 'held' and who holds it; 'full' and the bytes that others use, after which the replica has failed, is whole as it was before
-- the claim for more files, or is the owner's to remove what it had, and to settle as failed;
-- 'unasked', 'unit' or 'store' when there is nothing to claim. In the reason, the quoted {used} stands for those bytes.
local refused = refuse_unless_open()
if refused then return refused end
local unit_name, store, owner, bytes, most = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local state = store_state(store)
if not state or is_over(state) then return finish({'store', ''}) end
local record = data_unit_record(unit_name)
if not record or is_over(record.state) then return finish({'unit', ''}) end
local list, by = replicas_of(unit_name)
local r = by[store]
if not r or r.letter == 'F' or r.letter == 'C' then return finish({'unasked', ''}) end
local adds = ARGV[9] == '1'
if r.letter == 'D' and not adds then return finish({'done', ''}) end
if r.letter ~= 'D' and adds and r.owner ~= owner then return finish({'held', r.owner}) end
if r.owner ~= '' and r.owner ~= owner and r.ends > now then return finish({'held', r.owner}) end
local others = used_at(store) - r.reserved
-- Who is not to add certain files only looks at all of them now.
if r.letter == 'D' then r.whole = '1' elseif not adds then r.whole = '0' end
if most > 0 and others + bytes > most then
  local reason = string.gsub(ARGV[8], '%%7Bused%%7D', digits(others))
  if r.whole == '1' then
    r.letter, r.owner, r.moved, r.reason = 'D', '', r.reserved, reason
  elseif r.reserved > 0 then
    r.letter, r.owner, r.ends, r.moved, r.reason = 'R', owner, now + ARGV[7], 0, reason
  else
    r.letter, r.owner, r.reason = 'F', '', reason
  end
  flush_replicas(unit_name, list)
  return finish({'full', digits(others)})
end
reserve(r, bytes)
r.letter, r.owner, r.ends, r.moved = 'R', owner, now + ARGV[7], 0
flush_replicas(unit_name, list)
return finish({'granted', ''})
