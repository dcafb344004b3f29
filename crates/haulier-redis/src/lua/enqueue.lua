-- Stores tasks, or says why not. The order of the checks is part of the contract: the id, the
-- unique key, room in the queue.
--
-- A task is {id, queue, kind, priority, start, span, max attempts, timeout, retain, expires in,
-- unique key, window, until finish, on conflict, payload, about}. Answers: {0, state} inserted;
-- {1, id, state} existing; {2} conflict of ids; {3, holder} of keys; {4, held, most} full;
-- {5} too many queues.

run_timers(DUE_MAX)
local JSON = 'application/json'

local function content_type(about) return about == '' and JSON or cmsgpack.unpack(about)[1] end

local function is_same_work(t, item)
  if t.queue ~= item[2] or t.kind ~= item[3] then return false end
  local payload = t.body or call('HGET', BODY, t.id)
  local about = call('HGET', EXTRA, 'd' .. t.id) or ''
  return payload == item[15] and content_type(about) == content_type(item[16])
end

local function meet_id(item)
  local t = task(item[1])
  if t then
    return is_same_work(t, item) and { 1, t.id, t.state } or { 2 }
  end
  local gone_at = call('ZSCORE', GONE, item[1])
  if gone_at and tonumber(gone_at) + DEDUP_WINDOW > wall then return { 1, item[1], -1 } end
end

-- What a unique key leads to: an answer, or the task that gives way to the new one.
local function meet_key(item)
  if not item[11] then return end
  local id = call('HGET', KEY, item[2] .. '\0' .. item[11])
  local t = id and task(id)
  if not t or not holds_key(t) then return end
  if item[14] == 2 and not t.started then return nil, t end
  if item[14] == 1 then return { 3, t.id } end
  return { 1, t.id, t.state }
end

-- Whether the queue has room, counting the place that a replaced task leaves.
local function room(q, replaced)
  if not may_be_known(q) then return { 5 } end
  if q.max_tasks < 0 then return end
  local held = q.n[1] + q.n[2] + q.n[3] + q.n[4]
  if replaced and replaced.state < COMPLETED then held = held - 1 end
  if held >= q.max_tasks then return { 4, held, q.max_tasks } end
end

local function due_at(item)
  if item[5] == 1 then return wall + item[6] end
  if item[5] == 2 then return math.max(item[6], wall) end
  return wall
end

local function accept(item, q)
  local due = due_at(item)
  local state = due <= wall and AVAILABLE or SCHEDULED
  local t = { id = item[1], queue = item[2], kind = item[3], priority = item[4], state = state,
    reason = -1, attempt = 0, losses = 0, cancel = false, started = false, high = 0, low = 0,
    enqueued = wall, due = due, fin = -1, expires = item[10] >= 0 and wall + item[10] or -1,
    order = next_order(), max = item[7], timeout = item[8], retain = item[9], key = item[11],
    window = item[12], until_finish = item[13], grant = false, log = {}, body = item[15], was = {} }
  tasks[t.id] = t
  task_list[#task_list + 1] = t
  count(q, state, 1)
  q.accepted = q.accepted + 1
  if t.key then call('HSET', KEY, t.queue .. '\0' .. t.key, t.id) end
  if item[16] ~= '' then call('HSET', EXTRA, 'd' .. t.id, item[16]) end
  if state == AVAILABLE then woken[t.queue] = true end
  return { 0, state }
end

local function enqueue(item)
  local known = meet_id(item)
  if known then return known end
  local met, replaced = meet_key(item)
  if met then return met end
  local q = queue(item[2])
  local full = room(q, replaced)
  if full then return full end
  -- A holder that is final already has nothing to be called off; it only gives its key away.
  if replaced and replaced.state < COMPLETED then cancel(replaced) end
  return accept(item, q)
end

local ids, answers = {}, {}
for at, item in ipairs(args) do ids[at] = item[1] end
load(ids)
for at, item in ipairs(args) do answers[at] = enqueue(item) end
return finish(answers)
