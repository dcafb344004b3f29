-- Tells workers what to do. Arguments: {directive, names}; answers true where a worker is known.

beyond_memory()
forget_silent()
local known = {}
for at, name in ipairs(args[2]) do
  local w = worker(name)
  known[at] = w ~= nil
  if w then
    if w.directive ~= args[1] then tell(name) end
    w.directive = args[1]
    touch_worker(w)
  end
end
return finish(known)
