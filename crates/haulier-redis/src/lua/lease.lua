-- Serves wants one task at a time in turn until nobody gets anything any more.
--
-- A want is {worker, ttl, max, kinds, {{queue, max}, ..}}. Fairness is two rules of the same shape:
-- the worker whose last grant is longest ago is served first, and among a want's queues with equal
-- priority the one whose last grant is longest ago serves it. Answers: {how many for each want, in
-- {{which lease, payload if it stands apart, checkpoints}, ..}}, and behind it id, standing and
-- definition of each lease, those of the first want first. A definition that is empty was not
-- read: whoever asks reads it without bothering Lua, for which long texts are dear.

beyond_memory()
run_timers(DUE_MAX)

-- How many may be handed out: lines are read ahead by no more.
local most = 0
for _, want in ipairs(args) do most = most + want[3] end
most = math.min(most, ITEMS_MAX)

-- Lines: the available tasks of a queue and kind, in their order. The further one is walked down,
-- the more of it is read at once: with thousands of kinds most give one task, or none.
local lines = {}
local LOOKS_GROW = 4

local function line(prefix, member)
  local l = lines[prefix]
  if not l then
    l = { size = #prefix, from = '[' .. prefix, upto = '(' .. sub(prefix, 1, -2) .. '\1',
      members = {}, at = 0, count = 0, ids = 0, taken = 0, ahead = 1, over = false }
    lines[prefix] = l
    if member then
      l.members[1], l.count, l.from, l.ahead = member, 1, '(' .. member, LOOKS_GROW
    end
  end
  return l
end

-- Reads on in a line; false: there is nothing more.
local function read_on(l)
  if l.over then return false end
  l.members = call('ZRANGEBYLEX', READY, l.from, l.upto, 'LIMIT', 0, l.ahead)
  l.count, l.at = #l.members, 1
  l.over = l.count < l.ahead
  if l.count == 0 then return false end
  l.from = '(' .. l.members[l.count]
  l.ahead = math.min(l.ahead * LOOKS_GROW, most)
  -- Of tasks that are not new more has to be read.
  local ids = {}
  for _, member in ipairs(l.members) do
    local _, is_new = ids_in(member, l.size)
    if not is_new then ids[#ids + 1] = sub(member, -ID_SIZE) end
  end
  if #ids > 1 then load(ids) end
  return true
end

-- Finds the place of a line's first task, smaller ones come first; false: there is none.
local function head(l)
  if l.taken == l.ids then
    l.at, l.taken, l.ids = l.at + 1, 0, 0
    if l.at > l.count and not read_on(l) then return false end
    local member = l.members[l.at]
    l.rank, l.order = struct_unpack('>BI8', member, l.size + 1)
    l.ids, l.is_new = ids_in(member, l.size)
  end
  return true
end

-- Takes the first task of a line: its id, and its birth if that says all of it.
local function take(l)
  local member = l.members[l.at]
  local at = l.size + 10 + l.taken * ID_SIZE
  l.taken, l.order = l.taken + 1, l.order + 1
  return sub(member, at, at + ID_SIZE - 1), l.is_new and sub(member, -BIRTH_SIZE)
end

-- Every line of a queue that has a task: from one kind to the next.
local function lines_of(queue_name)
  local found, from = {}, '[' .. queue_name .. '\0'
  while true do
    local member = call('ZRANGEBYLEX', READY, from, '(' .. queue_name .. '\1', 'LIMIT', 0, 1)[1]
    if not member then return found end
    local prefix = line_in(member)
    found[#found + 1] = line(prefix, member)
    from = '[' .. sub(prefix, 1, -2) .. '\1'
  end
end

-- Lines as a heap, the one with the first task on top. Each stands where its head was when it was
-- put there; heads only move back, so the top is put right when it is looked at.
local function comes_before(a, b)
  if a.rank ~= b.rank then return a.rank < b.rank end
  return a.order < b.order
end

local function sink(heap, at)
  local entry = heap[at]
  while true do
    local child = at + at
    if not heap[child] then break end
    if heap[child + 1] and comes_before(heap[child + 1], heap[child]) then child = child + 1 end
    if not comes_before(heap[child], entry) then break end
    heap[at] = heap[child]
    at = child
  end
  heap[at] = entry
end

-- The lines of each queue and choice of kinds that was asked for.
local heaps = {}
local function heap_of(queue_name, want)
  local name = queue_name .. '\0' .. want.choice
  local heap = heaps[name]
  if heap then return heap end
  heap = {}
  heaps[name] = heap
  local found = {}
  if #want[4] == 0 then
    found = lines_of(queue_name)
  else
    for _, kind in ipairs(want[4]) do found[#found + 1] = line(line_of(queue_name, kind)) end
  end
  for _, l in ipairs(found) do
    if head(l) then heap[#heap + 1] = { line = l, rank = l.rank, order = l.order } end
  end
  for at = floor(#heap / 2), 1, -1 do sink(heap, at) end
  return heap
end

-- The line that a want is served from next in a queue.
local function best_line(heap)
  while true do
    local top = heap[1]
    if not top then return nil end
    local l = top.line
    if not head(l) then
      local last = table.remove(heap)
      if heap[1] then
        heap[1] = last
        sink(heap, 1)
      end
    elseif top.order == l.order and top.rank == l.rank then
      return l
    else
      top.rank, top.order = l.rank, l.order
      sink(heap, 1)
    end
  end
end

-- Grants are counted; those before the last start count as none.
local function since_start(grant_number) return grant_number > base and grant_number or 0 end

-- The task that a want gets next, and from which of its queues.
local function next_for(want)
  if want[3] <= 0 then return nil end
  local found, from, served, open
  for _, wanted in ipairs(want[5]) do
    local q = wanted[2] > 0 and queue(wanted[1])
    if q and q.n[AVAILABLE + 1] > 0 and is_open(q) then
      wanted.heap = wanted.heap or heap_of(wanted[1], want)
      local l = best_line(wanted.heap)
      local q_served = since_start(q.served)
      if l and found and l.rank == found.rank and q_served >= served then l = nil end
      if l and (not found or l.rank <= found.rank) then
        found, from, served, open = l, wanted, q_served, q
      end
    end
  end
  return found, from, open
end

-- Who asks, in the order of their turns: by the last grant, and who was never served by the order
-- of the request. Several wants of one worker share its turn.
local turns, askers = {}, {}
local function before(a, b)
  if a.last ~= b.last then return a.last < b.last end
  return a.wants[a.open] < b.wants[b.open]
end
for at, want in ipairs(args) do
  want.choice = table.concat(want[4], '\0')
  local a = askers[want[1]]
  if not a then
    local w = heard(want[1])
    a = { worker = w, last = since_start(w.last), wants = {}, open = 1 }
    askers[want[1]] = a
    turns[#turns + 1] = a
  end
  a.wants[#a.wants + 1] = at
end
table.sort(turns, before)

-- What plain tasks that are new become at once (see the prelude), each list written at the end.
local stand, out = {}, {}
local first_high, first_low = next_epoch(0, 0)
local NEW_HEAD = sub(struct_pack(STANDING, RUNNING, -1, RUNS_PLAINLY, -1,
  -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', 0, ''), 1, ORDER_AT - 1)
local NEW_EPOCH = struct_pack('>I4I4I4I4', first_high, first_low, 1, 0)

-- What follows the order in a new standing, of tasks with the same birth.
local function rest_of(from, want, birth)
  local name, enqueued, timeout = want[1], struct_unpack('>I8I8', birth)
  return NEW_EPOCH .. struct_pack('>I8I8i8I8I4I8I8I8i8Bc0Bc0', enqueued, enqueued, -1, wall, 1,
    want[2], mono + want[2], mono + timeout + STOP_GRACE, -1, #name, name, #from[1], from[1])
end

local function grant_new(id, birth, a, want, from, q)
  from.rests = from.rests or {}
  local rest = from.rests[birth] or rest_of(from, want, birth)
  from.rests[birth] = rest
  want.until_text = want.until_text or digits(mono + want[2])
  order, grants = order + 1, grants + 1
  local place = bytes8(order)
  local blob = NEW_HEAD .. place .. rest
  standings[id] = blob
  local here = #stand
  stand[here + 1], stand[here + 2] = id, blob
  out[here + 1], out[here + 2] = want.until_text, id
  local n, w = q.n, a.worker
  n[AVAILABLE + 1], n[RUNNING + 1] = n[AVAILABLE + 1] - 1, n[RUNNING + 1] + 1
  q.served, w.last = grants, grants
  hold(w.name, 1)
end

-- Lists with a first element that moves: whoever was served goes to the end.
local first, last = 1, #turns
local leased, granted, ready_away = {}, 0, {}
for at = 1, #args do leased[at] = {} end
while granted < most and first <= last do
  local a = turns[first]
  turns[first] = nil
  first = first + 1
  local at = a.wants[a.open]
  local want = args[at]
  local l, from, q = next_for(want)
  if l then
    local id, birth = take(l)
    local t = not birth and task(id)
    if birth then
      touch_queue(q)
      if l.taken == l.ids then ready_away[#ready_away + 1] = l.members[l.at] end
      grant_new(id, birth, a, want, from, q)
    elseif t then
      grant(t, a.worker, want[2])
    end
    if birth or t then
      a.last = grants
      want[3], from[2] = want[3] - 1, from[2] - 1
      granted = granted + 1
      local ids = leased[at]
      ids[#ids + 1] = id
      last = last + 1
      turns[last] = a
    else
      -- It is not there: whoever looks for damage counts it. The turn is not used up.
      first = first - 1
      turns[first] = a
    end
  else
    a.open = a.open + 1
    if a.wants[a.open] then
      -- Its place among those who were never served may be a later one now.
      first = first - 1
      local place = first
      while place < last and before(turns[place + 1], a) do
        turns[place] = turns[place + 1]
        place = place + 1
      end
      turns[place] = a
    end
  end
end
-- Those that nobody took stay together.
local ready_left = {}
for prefix, l in pairs(lines) do
  if l.is_new and l.taken > 0 and l.taken < l.ids then
    local member = l.members[l.at]
    ready_away[#ready_away + 1] = member
    ready_left[#ready_left + 1] = '0'
    ready_left[#ready_left + 1] = prefix .. char(l.rank) .. bytes8(l.order)
      .. sub(member, l.size + 10 + l.taken * ID_SIZE)
  end
end
many('ZREM', READY, ready_away, 1)
many('ZADD', READY, ready_left, 2)
many('HSET', STAND, stand, 2)
many('ZADD', LEASE, out, 2)
flush()

local counts, apart, answer = {}, {}, { false }
for at, ids in ipairs(leased) do
  counts[at] = #ids
  for _, id in ipairs(ids) do
    local here, t = #answer, tasks[id]
    answer[here + 1], answer[here + 2], answer[here + 3] = id, standings[id], definitions[id] or ''
    if t and (t.body_apart or t.extras) then
      apart[#apart + 1] = { (here - 1) / 3, t.body_apart and call('HGET', BODY, id),
        t.extras and call('HGET', EXTRA, 'c' .. id) }
    end
  end
end
answer[1] = finish({ counts, apart })
return answer
