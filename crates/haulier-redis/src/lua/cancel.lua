-- Calls tasks off. Answers: {0, state} done, {1} not known, {2, state} final already.

beyond_memory()
run_timers(DUE_MAX)
load(args)
local answers = {}
for at, id in ipairs(args) do
  local t = task(id)
  if not t then
    answers[at] = { 1 }
  elseif t.cancel or t.state == CANCELLED then
    -- Asking twice gives nobody more time to stop.
    answers[at] = { 0, t.state }
  elseif t.state >= COMPLETED then
    answers[at] = { 2, t.state }
  else
    cancel(t)
    answers[at] = { 0, t.state }
  end
end
return finish(answers)
