-- Makes a shard, if it is not there, and says which format it has.

local META = KEYS[1]
if redis.call('EXISTS', META) == 0 then
  redis.call('HSET', META, 'format', ARGV[1], 'generation', 0, 'order', 0, 'grants', 0, 'base', 0,
    'wall', 0, 'mono', 0, 'slip', 0, 'floor_high', 0, 'floor_low', 0)
end
return tonumber(redis.call('HGET', META, 'format'))
