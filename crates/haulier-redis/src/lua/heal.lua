-- One step of what has to be done when nobody could renew a lease for a while: each lasts its full
-- ttl again, its attempt its full time, and so does the time to stop. A step is short, because
-- Redis serves nobody else meanwhile; no lease runs out before the last one. Answer: {whether there
-- is more to do, how many leases were renewed}.

beyond_memory()
local STEP = 200
if store.heal == '' then return finish({ false, 0 }, true) end
local found = call('ZSCAN', LEASE, store.heal, 'COUNT', STEP)
local members, ids = found[2], {}
for at = 1, #members, 2 do ids[#ids + 1] = members[at] end
load(ids)
for _, id in ipairs(ids) do
  local t = task(id)
  if t and t.grant then
    touch(t)
    local g = t.grant
    g[3], g[4] = mono + g[2], mono + t.timeout + STOP_GRACE
    if t.cancel then stop_after(g) end
  end
end
store.heal = found[1] == '0' and '' or found[1]
call('HSET', META, 'heal', store.heal)
return finish({ store.heal ~= '', #ids })
