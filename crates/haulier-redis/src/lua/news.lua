-- Which of these workers there is news for. Changes nothing.

local names = {}
for _, name in ipairs(args) do
  local w = worker(name)
  if w and w.news then names[#names + 1] = name end
end
return pack(names)
