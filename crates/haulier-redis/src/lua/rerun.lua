-- Makes final tasks available again, as if nothing had been done. Answers as `cancel`.

run_timers(DUE_MAX)
load(args)

-- A task that is done again holds its unique key again, unless another one has it now.
local function hold_key_again(t)
  if not t.key then return end
  local field = t.queue .. '\0' .. t.key
  local id = call('HGET', KEY, field)
  local other = id and task(id)
  if not (other and holds_key(other)) then call('HSET', KEY, field, t.id) end
end

local function rerun(id)
  local t = task(id)
  if not t then return { 1 } end
  if t.state < COMPLETED then return { 2, t.state } end
  become(t, AVAILABLE)
  t.attempt, t.losses, t.cancel = 0, 0, false
  t.due, t.fin, t.expires = wall, -1, -1
  if t.extras then call('HDEL', EXTRA, 'r' .. id, 'p' .. id, 'c' .. id) end
  hold_key_again(t)
  return { 0, t.state }
end

local answers = {}
for at, id in ipairs(args) do answers[at] = rerun(id) end
return finish(answers)
