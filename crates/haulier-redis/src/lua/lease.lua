-- Serves wants one task at a time in turn until nobody gets anything any more.
--
-- A want is {worker, ttl, max, kinds, {{queue, max}, ..}}. Fairness is two rules of the same shape:
-- the worker whose last grant is longest ago is served first, and among a want's queues with equal
-- priority the one whose last grant is longest ago serves it. Answers: for each want its leases,
-- {id, high, low, attempt, losses, enqueued, queue, kind, priority, max attempts, timeout, retain,
-- payload, about, checkpoints}.

beyond_memory()
run_timers(DUE_MAX)

-- How many may be handed out: lines are read ahead by no more.
local most = 0
for _, want in ipairs(args) do most = most + want[3] end
most = math.min(most, ITEMS_MAX)
local AHEAD = math.min(most, 200)

-- Lines: the available tasks of a queue and kind, in their order.
local lines = {}

local function line(queue_name, kind)
  local prefix = line_of(queue_name, kind)
  local l = lines[prefix]
  if not l then
    local upto = '(' .. sub(prefix, 1, -2) .. '\1'
    l = { prefix = prefix, from = '[' .. prefix, upto = upto, at = 1, members = {} }
    lines[prefix] = l
  end
  return l
end

-- The first task of a line: its place (smaller comes first), or nil.
local function head(l)
  if l.at > #l.members and not l.over then
    l.members = call('ZRANGEBYLEX', READY, l.from, l.upto, 'LIMIT', 0, AHEAD)
    l.at = 1
    if #l.members < AHEAD then l.over = true end
    local ids = {}
    for at, member in ipairs(l.members) do ids[at] = sub(member, -16) end
    load(ids)
    if #ids > 0 then l.from = '(' .. l.members[#l.members] end
  end
  local member = l.members[l.at]
  if not member then return nil end
  if l.placed ~= member then
    l.placed = member
    l.rank = byte(member, -25)
    l.order = struct.unpack('>I8', sub(member, -24, -17))
  end
  return l
end

-- Every line of a queue that has a task: from one kind to the next.
local whole = {}
local function lines_of(queue_name)
  if whole[queue_name] then return whole[queue_name] end
  local found, from = {}, '[' .. queue_name .. '\0'
  while true do
    local member = call('ZRANGEBYLEX', READY, from, '(' .. queue_name .. '\1', 'LIMIT', 0, 1)[1]
    if not member then break end
    local kind = string.match(sub(member, #queue_name + 2), '^[^%z]*')
    found[#found + 1] = line(queue_name, kind)
    from = '[' .. queue_name .. '\0' .. kind .. '\1'
  end
  whole[queue_name] = found
  return found
end

-- The line that a want is served from next in a queue.
local function best_line(queue_name, kinds)
  local best
  local function consider(l)
    local h = head(l)
    if h and (not best or h.rank < best.rank or (h.rank == best.rank and h.order < best.order)) then
      best = h
    end
  end
  if #kinds == 0 then
    for _, l in ipairs(lines_of(queue_name)) do consider(l) end
  else
    for _, kind in ipairs(kinds) do consider(line(queue_name, kind)) end
  end
  return best
end

-- Grants are counted; those before the last start count as none.
local function since_start(grant_number) return grant_number > base and grant_number or 0 end

-- The task that a want gets next, and from which of its queues.
local function next_for(want)
  if want[3] <= 0 then return nil end
  local found, from, served
  for _, wanted in ipairs(want[5]) do
    local q = wanted[2] > 0 and queue(wanted[1])
    if q and q.n[AVAILABLE + 1] > 0 and is_open(q) then
      local l = best_line(wanted[1], want[4])
      local q_served = since_start(q.served)
      if l and found and l.rank == found.rank and q_served >= served then l = nil end
      if l and (not found or l.rank <= found.rank) then
        found, from, served = l, wanted, q_served
      end
    end
  end
  return found, from
end

-- Who asks, in the order of their turns: by the last grant, and who was never served by the order
-- of the request. Several wants of one worker share its turn.
local turns, askers = {}, {}
local function before(a, b)
  if a.last ~= b.last then return a.last < b.last end
  return a.wants[a.open] < b.wants[b.open]
end
for at, want in ipairs(args) do
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

-- Lists with a first element that moves: whoever was served goes to the end.
local first, last = 1, #turns
local answers, granted = {}, {}
for at = 1, #args do answers[at] = {} end
while #granted < most and first <= last do
  local a = turns[first]
  turns[first] = nil
  first = first + 1
  local at = a.wants[a.open]
  local want = args[at]
  local l, from = next_for(want)
  if l then
    local id = sub(l.members[l.at], -16)
    l.at = l.at + 1
    local t = task(id)
    grant(t, a.worker, want[2])
    a.last = a.worker.last
    want[3], from[2] = want[3] - 1, from[2] - 1
    granted[#granted + 1] = t
    answers[at][#answers[at] + 1] = t
    last = last + 1
    turns[last] = a
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

local function parts(key, prefix, field)
  local fields = {}
  for at, t in ipairs(granted) do fields[at] = prefix .. t.id end
  local found = #fields > 0 and call('HMGET', key, unpack(fields)) or {}
  for at, t in ipairs(granted) do t[field] = found[at] end
end
parts(BODY, '', 'payload')
parts(EXTRA, 'd', 'about')
parts(EXTRA, 'c', 'steps')
for at, got in ipairs(answers) do
  for number, t in ipairs(got) do
    got[number] = { t.id, t.high, t.low, t.attempt, t.losses, t.enqueued, t.queue, t.kind,
      t.priority, t.max, t.timeout, t.retain, t.payload, t.about, t.steps }
  end
end
return finish(answers)
