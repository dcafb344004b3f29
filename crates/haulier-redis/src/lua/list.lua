-- Tasks by age, newest first. Arguments: {below, most}, where `below` is the age and id to go on
-- from, or empty. Answer: {wall, {{age and id, definition, standing}, ..}}, false for what is not
-- there. Changes nothing.

local upper = args[1] == '' and '+' or '(' .. args[1]
local members = call('ZREVRANGEBYLEX', AGE, upper, '-', 'LIMIT', 0, args[2])
local ids, found = {}, {}
for at, member in ipairs(members) do ids[at] = sub(member, 9) end
load(ids)
for at, id in ipairs(ids) do found[at] = { members[at], definitions[id], standings[id] } end
return pack({ wall, found })
