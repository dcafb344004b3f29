-- Every worker that is known, as {name, about, directive, silent for, leases}.

beyond_memory()
forget_silent()
local all = call('HGETALL', WORKER)
local views = {}
for at = 1, #all, 2 do
  local r = cmsgpack.unpack(all[at + 1])
  local leases = tonumber(call('HGET', HOLDS, all[at]) or 0)
  views[#views + 1] = { all[at], r[1], r[2], math.max(0, mono - r[3]), leases }
end
return finish(views)
