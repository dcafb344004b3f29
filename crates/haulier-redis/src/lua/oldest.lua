-- How long ago the oldest available task of each of these queues became available; -1 where there
-- is none. Looked for among the first of each line and priority: those behind them came later, and
-- were due earlier only by as much as sweeps were late. Changes nothing.

local FIRST = 32

local function oldest(name)
  local due
  local from, upto = '[' .. name .. '\0', '(' .. name .. '\1'
  while true do
    local members = call('ZRANGEBYLEX', READY, from, upto, 'LIMIT', 0, FIRST)
    if #members == 0 then break end
    -- The line with its priority: what stands before order and id.
    local line = line_in(members[1])
    local head = sub(members[1], 1, #line + 1)
    for _, member in ipairs(members) do
      if sub(member, 1, #head) == head then
        local _, is_new = ids_in(member, #line)
        local t = not is_new and task(sub(member, -ID_SIZE))
        -- New tasks were due when they came.
        local own = is_new and struct_unpack('>I8', member, #member - BIRTH_SIZE + 1) or t and t.due
        if own and (not due or own < due) then due = own end
      end
    end
    from = '[' .. sub(head, 1, -2) .. string.char(byte(head, -1) + 1)
  end
  return due and math.max(0, wall - due) or -1
end

local ages = {}
for at, name in ipairs(args) do ages[at] = oldest(name) end
return pack(ages)
