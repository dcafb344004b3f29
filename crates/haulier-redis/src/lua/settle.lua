-- Ends leases. A key answers for one delivery: once it has been settled the answer stays the same;
-- while it runs, or has run out and nobody took the task since, it may be settled; everything else
-- is stale.
--
-- A settlement is {id, high, low, outcome, retry, delay, result, failure}; an outcome of -1 breaks
-- a rule. Answers: {0, state, late} applied; {1} cancelled; {2} stale; {3} refused.

beyond_memory()
run_timers(DUE_MAX)
local CANCELLED_ANSWER = 7

local function answer_of(d)
  if d[9] == CANCELLED_ANSWER then return { 1 } end
  return { 0, d[9], d[8] }
end

local function carry_out(t, outcome, retry)
  if t.cancel then
    become(t, CANCELLED)
  elseif outcome == E_COMPLETE then
    become(t, COMPLETED)
  elseif outcome == E_FAIL then
    if retry and t.attempt < t.max then become(t, RETRYABLE) else become(t, DEAD, EXHAUSTED) end
  elseif outcome == E_REJECT then
    become(t, DEAD, REJECTED)
  elseif outcome == E_SNOOZE then
    refund(t)
    become(t, SCHEDULED)
  elseif outcome == E_RELEASE then
    refund(t)
    become(t, AVAILABLE)
  else
    become(t, CANCELLED)
  end
end

local function settle(item)
  local id, high, low, outcome = item[1], item[2], item[3], item[4]
  local t = task(id)
  local d = t and delivery(t, high, low)
  if not d then return { 2 } end
  if d[9] >= 0 then return answer_of(d) end
  if not is_newest(t, high, low) then return { 2 } end
  local late = d[7] == E_LOST
  if late and t.state ~= AVAILABLE then return { 2 } end
  if outcome < 0 then return { 3 } end
  -- Of a task that was rerun since, nobody's lease ran out.
  if late and t.losses == 0 then return { 2 } end
  touch(t)
  if late then t.attempt, t.losses = t.attempt + 1, t.losses - 1 end
  local overruled = t.cancel and outcome ~= E_CANCELLED
  carry_out(t, outcome, item[5])
  if t.state == COMPLETED then
    if item[7] then call('HSET', EXTRA, 'r' .. id, item[7]) else call('HDEL', EXTRA, 'r' .. id) end
  elseif t.state == AVAILABLE then
    t.due = wall
  elseif t.state == SCHEDULED or t.state == RETRYABLE then
    t.due = wall + item[6]
  end
  d[6], d[7], d[8] = wall, overruled and E_CANCELLED or outcome, late
  d[9] = overruled and CANCELLED_ANSWER or t.state
  if item[8] then
    d[10] = true
    call('HSET', EXTRA, failure_of(t, d), item[8])
  end
  return answer_of(d)
end

local ids, answers = {}, {}
for at, item in ipairs(args) do ids[at] = item[1] end
load(ids)
for at, item in ipairs(args) do answers[at] = settle(item) end
return finish(answers)
