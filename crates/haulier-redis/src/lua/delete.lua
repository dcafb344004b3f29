-- Forgets tasks that do not run. Answers as `cancel`, with the state that a task had.

beyond_memory()
run_timers(DUE_MAX)
load(args)
local answers = {}
for at, id in ipairs(args) do
  local t = task(id)
  if not t then
    answers[at] = { 1 }
  elseif t.state == RUNNING then
    answers[at] = { 2, t.state }
  else
    remove(t)
    answers[at] = { 0, t.state }
  end
end
return finish(answers)
