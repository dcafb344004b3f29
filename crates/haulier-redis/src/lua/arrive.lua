-- A server opens the store: node, how long a silent node counts as there (ms).
--
-- The generation rises, above every one that was ever used: it follows the calendar, so that it
-- rises, too, where its last rise was lost with a failover. If no other server is there, every
-- lease lasts its full ttl again, its attempt its full time, and so does the time to stop; workers
-- are forgotten, and nobody was served yet.

beyond_memory()
local node, silence = args[1], args[2]
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
local alone = true
local nodes = call('HGETALL', NODE)
for at = 1, #nodes, 2 do
  if tonumber(nodes[at + 1]) + silence < now then
    call('HDEL', NODE, nodes[at])
  else
    alone = false
  end
end
call('HSET', NODE, node, digits(now))
-- Seconds since 2026.
generation = math.max(generation + 1, tonumber(time[1]) - 1767225600)
call('HSET', META, 'generation', digits(generation))
if alone then
  call('DEL', WORKER, HEARD)
  call('HSET', META, 'base', digits(grants))
  local running = call('ZRANGE', LEASE, 0, -1)
  for first = 1, #running, MANY do
    for at = first, math.min(first + MANY - 1, #running) do
      local t = task(running[at])
      touch(t)
      local g = t.grant
      g[3], g[4] = mono + g[2], mono + t.timeout + STOP_GRACE
      if t.cancel then stop_after(g) end
    end
    flush()
  end
end
return finish({ alone, generation })
