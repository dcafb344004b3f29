-- Writes down what time it is. Arguments: {wall, slip, certain, the slip that was seen, whether
-- each lease is to last its full ttl again}. Answer: false if another server has seen a jump of the
-- clock meanwhile; then nothing is changed.

beyond_memory()
if tonumber(meta[8]) ~= args[4] then return finish(false, true) end
wall = math.max(tonumber(meta[6]), args[1])
store.certain = math.max(store.certain, args[3])
mono = store.certain
call('HSET', META, 'slip', digits(args[2]))
if args[5] then call('HSET', META, 'heal', '0') end
return finish(true)
