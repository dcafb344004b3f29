-- A server opens the store. Arguments: node, how long a silent node counts as there, how long
-- nobody may have swept (ms).
--
-- The generation rises. If no other server is there, or none has swept for so long, nobody could
-- renew a lease: time goes on from where it stood, and each lease is to last its full ttl again
-- (see `heal`). If none is there workers are forgotten, too, and nobody was served yet. Answer:
-- {alone, generation, clock, wall, slip, certain}.

beyond_memory()
local node, silence, gap = args[1], args[2], args[3]
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
store.raise_generation()
local slip = tonumber(meta[8])
local is_own_time = #ARGV[1] == 16
if alone or (is_own_time and store.clock - slip - store.certain > gap) then
  if is_own_time then
    slip, mono = store.clock - store.certain, store.certain
    call('HSET', META, 'slip', digits(slip))
  end
  call('HSET', META, 'heal', '0')
  -- For the end of this script, too.
  store.heal = '0'
end
if alone then
  call('DEL', WORKER, HEARD)
  call('HSET', META, 'base', digits(grants))
end
return finish({ alone, generation, store.clock, wall, slip, store.certain })
