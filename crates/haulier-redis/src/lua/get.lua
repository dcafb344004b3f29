-- Tasks as they stand. Arguments: {payload?, result?, ids}. Answer: {wall, mono, {task, ..}} with
-- false for an id that is not known, and else {record, about, progress, checkpoints, payload,
-- result, {failure, ..}}, a failure or false for each delivery. Changes nothing.

local found = {}
for at, id in ipairs(args[3]) do
  local blob = call('HGET', TASK, id)
  found[at] = false
  if blob then
    local t = decode(id, blob)
    local parts = call('HMGET', EXTRA, 'd' .. id, 'p' .. id, 'c' .. id)
    local failures = {}
    for number, d in ipairs(t.log) do
      failures[number] = d[10] and call('HGET', EXTRA, failure_of(t, d))
    end
    found[at] = { blob, parts[1], parts[2], parts[3], args[1] and call('HGET', BODY, id),
      args[2] and call('HGET', EXTRA, 'r' .. id), failures }
  end
end
return pack({ wall, mono, found })
