-- The states of tasks, -1 for an id that is not known. Changes nothing.

local states = {}
load(args)
for at, id in ipairs(args) do
  local t = task(id)
  states[at] = t and t.state or -1
end
return pack(states)
