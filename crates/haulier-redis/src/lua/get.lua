-- Tasks as they stand. Arguments: {payload?, result?, ids}. Answer: {wall, mono, {task, ..}} with
-- false for an id that is not known, and else {definition, standing or false, payload if it stands
-- apart, progress, checkpoints, result, {failure, ..}}, a failure or false for each delivery.
-- Changes nothing.

local found = {}
load(args[3])
for at, id in ipairs(args[3]) do
  local t = task(id)
  found[at] = false
  if t then
    local parts = { false, false, false }
    if t.extras then parts = call('HMGET', EXTRA, 'p' .. id, 'c' .. id, 'r' .. id) end
    local failures = {}
    for number, d in ipairs(t.log) do
      failures[number] = d[10] and call('HGET', EXTRA, failure_of(t, d))
    end
    found[at] = { definitions[id], standings[id],
      args[1] and t.body_apart and call('HGET', BODY, id), parts[1], parts[2],
      args[2] and parts[3], failures }
  end
end
return pack({ wall, mono, found })
