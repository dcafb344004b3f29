-- Stores tasks, or says why not. The order of the checks is part of the contract: the id, the
-- unique key, room in the queue.
--
-- Arguments: runs of tasks, and behind them an id and a definition for each task. A run is plain
-- tasks (see the prelude) of one queue, kind, priority and timeout that are to start at once, {how
-- many, queue, what stands before their place in line}; or it is one task of any sort, {1, start,
-- span, expires in, on conflict, payload or false if it is within the definition}.
--
-- Answers: a text with a byte a task, its state if it was inserted and else a question mark, and a
-- list of what those stand for: {1, id, state} existing; {2} conflict of ids; {3, holder} of keys;
-- {4, held, most} full; {5} too many queues.

run_timers(DUE_MAX)
local JSON = 'application/json'
local PLAIN_FIELDS, ANY_FIELDS = 3, 6

-- Where a definition's texts begin: see DEFINITION in the prelude, and what the server adds.
local function content(definition, at)
  local _, _, _, _, _, _, queue_name, kind, _, about, rest =
    struct_unpack(DEFINITION .. 'I4c0', definition, at)
  local content_type = about == '' and JSON or cmsgpack.unpack(about)[1]
  -- Before the payload stands the checksum of all of it.
  return queue_name, kind, content_type, sub(definition, rest + 4)
end

local function is_same_work(t, definition, body)
  local queue_name, kind, content_type, payload = content(definition, 1)
  local own_queue, own_kind, own_type, own = content(definitions[t.id], BORN_SIZE + 1)
  if queue_name ~= own_queue or kind ~= own_kind or content_type ~= own_type then return false end
  if t.body_apart then own = t.body or call('HGET', BODY, t.id) end
  return own == (body or payload)
end

local function meet_id(id, definition, body)
  local t = task(id)
  if t then
    return is_same_work(t, definition, body) and { 1, id, t.state } or { 2 }
  end
  local gone_at = call('ZSCORE', GONE, id)
  if gone_at and tonumber(gone_at) + DEDUP_WINDOW > wall then return { 1, id, -1 } end
end

-- What a unique key leads to: an answer, or the task that gives way to the new one.
local function meet_key(new, on_conflict)
  if not new.key then return end
  local id = call('HGET', KEY, new.queue .. '\0' .. new.key)
  local t = id and task(id)
  if not t or not holds_key(t) then return end
  if on_conflict == 2 and not t.started then return nil, t end
  if on_conflict == 1 then return { 3, t.id } end
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

local function due_at(start, span)
  if start == 1 then return wall + span end
  if start == 2 then return math.max(span, wall) end
  return wall
end

-- What is put before a definition, behind the order.
local function birth(due, expires, state)
  return struct_pack('>I8I8i8B', wall, due, expires, state)
end

local function accept(t, q, definition, body, start, span, expires_in)
  t.due = due_at(start, span)
  t.state = t.due <= wall and AVAILABLE or SCHEDULED
  t.enqueued, t.order, t.expires = wall, next_order(), expires_in >= 0 and wall + expires_in or -1
  t.born = t.order
  definitions[t.id] = bytes8(t.order) .. birth(t.due, t.expires, t.state) .. definition
  standings[t.id], tasks[t.id] = false, t
  t.was, t.is_new = {}, true
  task_list[#task_list + 1] = t
  count(q, t.state, 1)
  q.accepted = q.accepted + 1
  if body then
    call('HSET', BODY, t.id, body)
    t.body = body
  end
  if t.key then call('HSET', KEY, t.queue .. '\0' .. t.key, t.id) end
  if t.state == AVAILABLE then woken[t.queue] = true end
  return t.state
end

-- One task: its state, or why it was not inserted.
local function enqueue(id, definition, body, start, span, expires_in, on_conflict)
  local known = meet_id(id, definition, body)
  if known then return nil, known end
  local t = decode(id, string.rep('\0', BORN_SIZE) .. definition)
  local met, replaced = meet_key(t, on_conflict)
  if met then return nil, met end
  local q = queue(t.queue)
  local full = room(q, replaced)
  if full then return nil, full end
  -- A holder that is final already has nothing to be called off; it only gives its key away.
  if replaced and replaced.state < COMPLETED then cancel(replaced) end
  return accept(t, q, definition, body, start, span, expires_in)
end

local ids, codes, others = {}, {}, {}

local function answer(at, state, other)
  codes[at] = state or 63
  if other then others[#others + 1] = other end
end

-- What plain tasks become at once, each list written at the end.
local new, ready, age = {}, {}, {}
local gone_at

-- Those that stand in line together: no more than one lease call can well take apart.
local TOGETHER_MAX = 32
local together, count_together, next_together = {}, 0, 0

local function stand_in_line(before, behind)
  if count_together == 0 then return end
  local ids_together = table.concat(together, '', 1, count_together)
  local here = #ready
  ready[here + 1] = '0'
  ready[here + 2] = before .. bytes8(next_together - count_together) .. ids_together .. behind
  count_together = 0
end

-- Tasks that differ in nothing but their ids and payloads.
local function enqueue_run(run, first)
  local q, before, born = queue(run[2]), run[3], birth(wall, -1, AVAILABLE)
  local many_fit = q.max_tasks < 0 and may_be_known(q)
  local age_of, here, inserted = bytes8(wall), #new, 0
  -- They have one timeout, too: see `places`.
  local behind = age_of .. sub(ARGV[first + first + 2], 7, 14)
  for at = first, first + run[1] - 1 do
    local id, definition = ids[at], ARGV[at + at + 2]
    if many_fit and not definitions[id] and not gone_at[at] then
      order = order + 1
      local place = bytes8(order)
      local whole = place .. born .. definition
      definitions[id] = whole
      new[here + 1], new[here + 2] = id, whole
      if count_together == TOGETHER_MAX or order ~= next_together then
        stand_in_line(before, behind)
        next_together = order
      end
      count_together, next_together = count_together + 1, next_together + 1
      together[count_together] = id
      age[here + 1], age[here + 2] = '0', age_of .. id
      here, inserted = here + 2, inserted + 1
      codes[at] = AVAILABLE
    else
      answer(at, enqueue(id, definition, nil, 0, 0, -1, 0))
    end
  end
  stand_in_line(before, behind)
  if inserted == 0 then return end
  count(q, AVAILABLE, inserted)
  q.accepted = q.accepted + inserted
  woken[q.name] = true
end

for at = 1, (#ARGV - 2) / 2 do ids[at] = ARGV[at + at + 1] end
read_into(definitions, TASK, ids)
gone_at = call('ZMSCORE', GONE, unpack(ids))
local first = 1
for _, run in ipairs(args) do
  if #run == PLAIN_FIELDS then
    enqueue_run(run, first)
  else
    local body = run[6] or nil
    local definition = ARGV[first + first + 2]
    answer(first, enqueue(ids[first], definition, body, run[2], run[3], run[4], run[5]))
  end
  first = first + run[1]
end
many('HSET', TASK, new, 2)
many('ZADD', READY, ready, 2)
many('ZADD', AGE, age, 2)
return finish({ char(unpack(codes)), others })
