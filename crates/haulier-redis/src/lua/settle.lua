-- Ends leases. A key answers for one delivery: once it has been settled the answer stays the same;
-- while it runs, or has run out and nobody took the task since, it may be settled; everything else
-- is stale.
--
-- Arguments: {keys, others}: of every settlement the id and the epoch, 24 bytes, and of those that
-- are more than a completion without a result {which, outcome, retry, delay, result, failure}; an
-- outcome of -1 breaks a rule. Answers, a byte each: the state, and 16 more if it was late; or one
-- of the numbers below.

beyond_memory()
run_timers(DUE_MAX)
local LATE_ANSWER, CANCELLED_ANSWER, STALE, REFUSED = 16, 32, 33, 34
-- What is remembered of a delivery whose task was cancelled.
local WAS_CANCELLED = 7

local function answer_of(d)
  if d[9] == WAS_CANCELLED then return CANCELLED_ANSWER end
  return d[9] + (d[8] and LATE_ANSWER or 0)
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

local function settle(id, epoch, outcome, retry, delay, result, failure)
  local high, low = struct_unpack('>I4I4', epoch)
  local t = task(id)
  local d = t and delivery(t, high, low)
  if not d then return STALE end
  if d[9] >= 0 then return answer_of(d) end
  if not is_newest(t, high, low) then return STALE end
  local late = d[7] == E_LOST
  if late and t.state ~= AVAILABLE then return STALE end
  if outcome < 0 then return REFUSED end
  -- Of a task that was rerun since, nobody's lease ran out.
  if late and t.losses == 0 then return STALE end
  touch(t)
  if late then t.attempt, t.losses = t.attempt + 1, t.losses - 1 end
  local overruled = t.cancel and outcome ~= E_CANCELLED
  carry_out(t, outcome, retry)
  if t.state == COMPLETED then
    if result then
      call('HSET', EXTRA, 'r' .. id, result)
      t.extras = true
    elseif t.extras then
      call('HDEL', EXTRA, 'r' .. id)
    end
  elseif t.state == AVAILABLE then
    t.due = wall
  elseif t.state == SCHEDULED or t.state == RETRYABLE then
    t.due = wall + delay
  end
  d[6], d[7], d[8] = wall, overruled and E_CANCELLED or outcome, late
  d[9] = overruled and WAS_CANCELLED or t.state
  if failure then
    d[10], t.extras = true, true
    call('HSET', EXTRA, failure_of(t, d), failure)
  end
  return answer_of(d)
end

-- What plain tasks become at once that run, are completed, and have nothing in `extra`, each list
-- written at the end.
local stand, ended, shelve, keep = {}, {}, {}, {}
local STAND_FLAGS = RUNS_PLAINLY - HAS_GRANT
local DONE_HEAD = sub(struct_pack(STANDING, COMPLETED, -1, STAND_FLAGS, E_COMPLETE, COMPLETED, wall,
  wall, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', 0, ''), 1, ORDER_AT - 1)
local shelves = {}

-- Where a queue's tasks go that are completed now.
local function shelf_of(name)
  local q = queue(name)
  touch_queue(q)
  local shelf = { queue = q, before = name .. '\0' .. tostring(COMPLETED) .. bytes8(wall) }
  keep[#keep + 1] = digits(wall + q.retain[1])
  keep[#keep + 1] = TOGETHER .. shelf.before
  shelves[name] = shelf
  return shelf
end

local function complete(id, blob)
  local holder, name = struct_unpack('>Bc0Bc0', blob, NAMES_AT)
  local shelf = shelves[name] or shelf_of(name)
  local q = shelf.queue
  local n = q.n
  n[RUNNING + 1], n[COMPLETED + 1] = n[RUNNING + 1] - 1, n[COMPLETED + 1] + 1
  q.finished = q.finished + 1
  if q.concurrency >= 0 then woken[name] = true end
  if n[COMPLETED + 1] > q.retain[2] then q.crowded = true end
  hold(holder, -1)
  order, finished = order + 1, true
  local place = bytes8(order)
  local new = DONE_HEAD .. place .. sub(blob, EPOCH_AT)
  standings[id] = new
  local here = #stand
  stand[here + 1], stand[here + 2] = id, new
  shelve[here + 1], shelve[here + 2] = '0', shelf.before .. place .. id
  ended[#ended + 1] = id
end

local keys, others = args[1], {}
local ids, answers = {}, {}
for at = 1, #keys / 24 do ids[at] = sub(keys, at * 24 - 23, at * 24 - 8) end
for _, other in ipairs(args[2]) do others[other[1]] = other end
load_standings(ids)
for at, id in ipairs(ids) do
  local epoch, other, blob = sub(keys, at * 24 - 7, at * 24), others[at], standings[id]
  local state, _, flags
  if blob and not other and not tasks[id] then state, _, flags = byte(blob, 1, 3) end
  if state == RUNNING and flags == RUNS_PLAINLY
    and sub(blob, EPOCH_AT, EPOCH_AT + 7) == epoch then
    complete(id, blob)
    answers[at] = COMPLETED
  elseif other then
    answers[at] = settle(id, epoch, other[2], other[3], other[4], other[5], other[6])
  else
    answers[at] = settle(id, epoch, E_COMPLETE, false, 0)
  end
end
many('HSET', STAND, stand, 2)
many('ZREM', LEASE, ended, 1)
many('ZADD', DONE, shelve, 2)
many('ZADD', KEEP, keep, 2)
return finish(char(unpack(answers)))
