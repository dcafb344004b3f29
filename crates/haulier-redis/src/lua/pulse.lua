-- A server is still there: node.

beyond_memory()
local time = call('TIME')
call('HSET', NODE, args[1], digits(tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)))
return finish(true, true)
