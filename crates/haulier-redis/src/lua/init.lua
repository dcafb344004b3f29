-- Makes a shard if it is not there. Argument: the format. Answer: its format and
-- its name. A format of -1: a part of it is there, but not `meta`.
--
-- Redis throws keys away as a whole, and knows no empty ones. So those whose size follows from
-- nothing else have a mark, which nobody takes away: a field without a name, a member that never
-- falls due. Where it is missing the key was lost (see `look`).

local META, TASK, BODY, EXTRA, READY, DUE, LEASE, EXPIRE, AGE, DONE, KEEP, HELD, QUEUE, KEY, GONE,
    WORKER, HEARD, HOLDS, JOBS, NODE, STAND = unpack(KEYS)
local call = redis.call

if call('EXISTS', META) == 0 then
  if call('EXISTS', unpack(KEYS)) > 0 then return { -1, '' } end
  -- No other store has this name: none was made at the same moment in the same place.
  local time = call('TIME')
  local born = string.sub(redis.sha1hex(time[1] .. ':' .. time[2] .. META), 1, 16)
  call('HSET', META, 'format', ARGV[1], 'born', born, 'generation', 0, 'order', 0, 'grants', 0,
    'base', 0, 'wall', 0, 'mono', 0, 'slip', 0, 'floor_high', 0, 'floor_low', 0, 'replid', '',
    'met', '', 'accepted', 0, 'removed', 0, 'finished', 0, 'heal', '')
  for _, key in ipairs({ TASK, BODY, EXTRA, QUEUE, KEY, HOLDS, JOBS, STAND }) do
    call('HSET', key, '', '')
  end
  for _, key in ipairs({ EXPIRE, KEEP, HELD, GONE }) do call('ZADD', key, '+inf', '') end
  call('ZADD', READY, 0, '')
end
local shown = call('HMGET', META, 'format', 'born')
return { tonumber(shown[1]), shown[2] }
