-- Whether there was something that a worker should know. Asking again is answered by what came
-- since.

local w = worker(args[1])
if not w or not w.news then return finish(false, true) end
beyond_memory()
w.news = false
touch_worker(w)
return finish(true)
