-- Tasks by age, newest first. Arguments: {below, most}, where `below` is the age and id to go on
-- from, or empty. Answer: {wall, {{age and id, record, about}, ..}}. Changes nothing.

local upper = args[1] == '' and '+' or '(' .. args[1]
local members = call('ZREVRANGEBYLEX', AGE, upper, '-', 'LIMIT', 0, args[2])
local found = {}
for at, member in ipairs(members) do
  local id = sub(member, 9)
  found[at] = { member, call('HGET', TASK, id), call('HGET', EXTRA, 'd' .. id) }
end
return pack({ wall, found })
