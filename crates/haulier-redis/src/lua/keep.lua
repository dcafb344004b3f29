-- Writes down what time it is. Arguments: {wall, slip, certain, the slip that was seen, whether
-- each lease is to last its full ttl again}. Answer: false if another server has seen a jump of the
-- clock meanwhile; then nothing is changed.

beyond_memory()
if tonumber(meta[8]) ~= args[4] then return finish(false, true) end
-- Behind a clock that went back the calendar crawls on; else it is the clock's, which every verb
-- writes down: then it must not run ahead of it (I5).
if tonumber(meta[6]) > store.clock then wall = math.max(wall, args[1]) end
store.certain = math.max(store.certain, args[3])
mono = store.certain
call('HSET', META, 'slip', digits(args[2]))
if args[5] then call('HSET', META, 'heal', '0') end
return finish(true)
