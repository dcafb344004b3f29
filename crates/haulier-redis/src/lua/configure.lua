-- Changes a queue's settings. Arguments: {queue, paused, concurrency, most tasks, retain completed,
-- completed count, cancelled, dead}, false for what stays as it is. Answer: the settings, or false
-- if there are too many queues. An empty change leaves no trace.

beyond_memory()
local q = queue(args[1])
local changes, retains = false, false
for at = 2, 8 do changes = changes or args[at] ~= false end
if changes then
  if not may_be_known(q) then return finish(false) end
  if args[2] then q.paused = args[2] == 1 end
  if args[3] then q.concurrency = args[3] end
  if args[4] then q.max_tasks = args[4] end
  for at = 5, 8 do
    if args[at] then
      q.retain[at - 4] = args[at]
      retains = true
    end
  end
  touch_queue(q)
  woken[q.name] = true
  -- Sweeps say anew, in slices, how long each finished task is kept.
  if retains then call('HSET', JOBS, 'r' .. q.name, '', 'o' .. q.name, '') end
end
return finish({ q.paused, q.concurrency, q.max_tasks, q.retain })
