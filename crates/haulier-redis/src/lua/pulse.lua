-- A server is still there.

local time = redis.call('TIME')
-- Also of a Redis that has no memory left: see `beyond_memory` in the prelude.
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[20], ARGV[1], time[1] .. string.format('%03d', math.floor(time[2] / 1000)))
return 1
