-- What every verb begins with: the keys of a shard, the time, and a cache of tasks, queues and
-- workers that is written back at the end, each of them once.
--
-- Indexes are functions of the tasks: `places` says where a task stands, and `flush` writes what
-- has changed since it was read, so none can be forgotten. A task's state changes in one place
-- only (`become`). Strings are never compared by `<`: Redis compares them by its locale.

local META, TASK, BODY, EXTRA, READY, DUE, LEASE, EXPIRE, AGE, DONE, KEEP, HELD, QUEUE, KEY, GONE,
    WORKER, HEARD, HOLDS, JOBS, NODE, STAND = unpack(KEYS)
local call, pack, floor, byte, sub = redis.call, cmsgpack.pack, math.floor, string.byte, string.sub
local struct_pack, struct_unpack, char = struct.pack, struct.unpack, string.char
local args = cmsgpack.unpack(ARGV[2])

local SCHEDULED, AVAILABLE, RUNNING, RETRYABLE, COMPLETED, CANCELLED, DEAD = 0, 1, 2, 3, 4, 5, 6
local EXHAUSTED, REJECTED, LOST, EXPIRED = 0, 1, 2, 3
-- How a delivery ended: as the outcomes are numbered, and that its lease ran out.
local E_COMPLETE, E_FAIL, E_REJECT, E_SNOOZE, E_RELEASE, E_CANCELLED, E_LOST = 0, 1, 2, 3, 4, 5, 6
-- The limits of core, in milliseconds where they are times.
local LOSSES_MAX, DELIVERIES_MAX, STOP_GRACE = 5, 20, 10000
local DEDUP_WINDOW, DEDUP_IDS_MAX = 120000, 1000000
local WORKERS_MAX, ITEMS_MAX = 10000, 1000
-- What a queue's finished tasks are kept for, and how many completed ones, unless it says
-- otherwise.
local RETAIN = { 3600000, 10000, 86400000, 2592000000 }
-- What verbs bring about of what has fallen due, before they look at anything; sweeps do the rest.
local DUE_MAX = 100
-- Arguments of one command; Lua's stack holds eight times as many.
local MANY = 1000

local meta = call('HMGET', META, 'format', 'generation', 'order', 'grants', 'base', 'wall', 'mono',
    'slip', 'floor_high', 'floor_low', 'born', 'replid', 'met', 'accepted', 'removed', 'finished',
    'heal')
-- Another store in its place, made after everything was deleted, is not the one that was opened.
if not meta[1] or meta[11] ~= sub(ARGV[1], 1, 16) then
  return redis.error_reply('HAULIERGONE the store is not there: its keys were deleted or evicted')
end
local generation, order = tonumber(meta[2]), tonumber(meta[3])
local grants, base = tonumber(meta[4]), tonumber(meta[5])
local floor_high, floor_low = tonumber(meta[9]), tonumber(meta[10])
-- What is known of the store as a whole, in one table: Lua has room for two hundred names. Counts
-- over all queues; what survived until this Redis became what it is (see `meet`); where the renewal
-- of all leases stands, while which none runs out (see `heal`).
local store = { accepted = tonumber(meta[14]), removed = tonumber(meta[15]),
  finished = tonumber(meta[16]), met = meta[13], heal = meta[17] }

-- What is stored and shown, which never goes back, and what leases count on. Of that `certain` has
-- been compared by a server with its own clock (see `time.rs`): a clock of Redis that jumps takes
-- no lease, because the rest goes no further than two seconds, and no lease runs out by it.
local wall, mono
store.certain = tonumber(meta[7])
if #ARGV[1] == 16 then
  local time = call('TIME')
  wall = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
  mono = math.min(math.max(wall - tonumber(meta[8]), store.certain), store.certain + 2000)
else
  local time = cmsgpack.unpack(sub(ARGV[1], 17))
  wall, mono = time[1], math.max(time[2], store.certain)
  store.certain = mono
end
store.clock = wall
wall = math.max(wall, tonumber(meta[6]))

-- What others are to be told: queues in which something may be had now, workers for whom there is
-- news, and that tasks became final.
local woken, told, finished = {}, {}, false

local function bytes8(number) return struct_pack('>I8', number) end

-- A number with all its digits: Lua's own text of a large one has but fourteen. A score that many
-- members get is written once: Redis would write it for each of them.
local function digits(number) return string.format('%.0f', number) end

-- A command with any number of arguments, `step` of which belong together.
local function many(command, key, list, step)
  local most = MANY - MANY % step
  for first = 1, #list, most do
    call(command, key, unpack(list, first, math.min(first + most - 1, #list)))
  end
end

local function next_order()
  order = order + 1
  return order
end

-- Queues ------------------------------------------------------------------------------------

local queues, queue_list = {}, {}

-- A queue as it stands; one that was never heard of has every default.
local function queue(name)
  local q = queues[name]
  if q then return q end
  local blob = call('HGET', QUEUE, name)
  if blob then
    local r = cmsgpack.unpack(blob)
    q = { name = name, known = true, paused = r[1], concurrency = r[2], max_tasks = r[3],
      retain = r[4], n = r[5], accepted = r[6], removed = r[7], finished = r[8], served = r[9] }
  else
    q = { name = name, known = false, paused = false, concurrency = -1, max_tasks = -1,
      retain = { unpack(RETAIN) }, n = { 0, 0, 0, 0, 0, 0, 0 }, accepted = 0, removed = 0,
      finished = 0, served = 0 }
  end
  q.was = { accepted = q.accepted, removed = q.removed, finished = q.finished }
  queues[name] = q
  return q
end

local function touch_queue(q)
  if q.touched then return end
  q.touched = true
  queue_list[#queue_list + 1] = q
end

local function count(q, state, by)
  q.n[state + 1] = q.n[state + 1] + by
  touch_queue(q)
end

-- Whether there is room for a queue that was never heard of.
local function may_be_known(q)
  if q.known then return true end
  local QUEUES_MAX = 1000000
  -- One of the fields is a mark: see `init`.
  local known = store.queues or call('HLEN', QUEUE) - 1
  if known >= QUEUES_MAX then return false end
  store.queues = known + 1
  q.known = true
  return true
end

-- Its settings let one more task run.
local function is_open(q)
  return not q.paused and (q.concurrency < 0 or q.n[RUNNING + 1] < q.concurrency)
end

-- Workers -----------------------------------------------------------------------------------

local workers, worker_list, holds = {}, {}, {}

-- A worker that is known, or nil.
local function worker(name)
  local w = workers[name]
  if w == nil then
    local blob = call('HGET', WORKER, name)
    w = false
    if blob then
      local r = cmsgpack.unpack(blob)
      w = { name = name, about = r[1], directive = r[2], heard = r[3], last = r[4], news = r[5] }
    end
    workers[name] = w
  end
  return w or nil
end

local function touch_worker(w)
  if w.touched then return end
  w.touched = true
  worker_list[#worker_list + 1] = w
end

-- Notes a sign of life.
local function heard(name)
  local w = worker(name)
  if not w then
    w = { name = name, about = false, directive = 0, heard = mono, last = 0, news = false }
    workers[name] = w
  end
  w.heard = mono
  touch_worker(w)
  return w
end

-- There is something that it should know.
local function tell(name)
  local w = worker(name)
  if not w then return end
  w.news = true
  touch_worker(w)
  told[#told + 1] = name
end

local function hold(name, by) holds[name] = (holds[name] or 0) + by end

-- Forgets who has been silent for too long and holds nothing.
local function forget_silent()
  local WORKER_FORGOTTEN_AFTER = 300000
  local since = mono - WORKER_FORGOTTEN_AFTER
  local silent = call('ZRANGEBYSCORE', HEARD, '-inf', since, 'LIMIT', 0, WORKERS_MAX)
  for _, name in ipairs(silent) do
    if not call('HGET', HOLDS, name) then
      call('HDEL', WORKER, name)
      call('ZREM', HEARD, name)
      workers[name] = false
    end
  end
end

-- Tasks -------------------------------------------------------------------------------------
--
-- What never changes of a task is its definition, in `task`: what the script that took it in put
-- first (order, enqueued, due, expires, state), and behind it what the server wrote, of which
-- scripts know the beginning. Where it stands is in `stand`, from its first lease or other change
-- on; before, it is as it was taken in. Both have fixed places, so that a verb can look at one
-- field, and write some, without reading all.

local BORN, BORN_SIZE = '>I8I8I8i8B', 33
local DEFINITION = '>BBI4I8i8I8Bc0Bc0I2c0'
-- Bits of the first byte of a definition; a plain one has no unique key, no expiry, no retain of
-- its own, and its payload within.
local UNTIL_FINISH, HAS_KEY, BODY_APART, PLAIN = 1, 2, 4, 8

-- The first part of a standing is all that the end of a lease changes.
local STANDING = '>BbBbbi8i8I8I4I4I4I4I8I8i8I8I4I8I8I8i8Bc0Bc0'
local FIN_AT, ORDER_AT, EPOCH_AT, ENQUEUED_AT, NAMES_AT = 6, 22, 30, 46, 114
-- Bits of its flags. The newest delivery stands in the standing itself: that it was late and has a
-- failure are two of them. `HAS_EXTRAS`: something of it is, or was, in `extra`.
local CANCEL, STARTED, LATE, FAILED = 1, 2, 4, 8
local HAS_DELIVERY, HAS_GRANT, IS_PLAIN, HAS_EXTRAS = 16, 32, 64, 128
local RUNS_PLAINLY = STARTED + HAS_DELIVERY + HAS_GRANT + IS_PLAIN

local tasks, task_list = {}, {}
-- What was read, as it is stored; false: there is none.
local definitions, standings = {}, {}

local function has(flags, bit) return flags % (bit + bit) >= bit end
local function flag(yes, bit) return yes and bit or 0 end

local function decode(id, definition, standing)
  local order, enqueued, due, expires, state = struct_unpack(BORN, definition)
  local flags, priority, max, timeout, retain, window, queue_name, kind, key =
    struct_unpack(DEFINITION, definition, BORN_SIZE + 1)
  local t = { id = id, queue = queue_name, kind = kind, priority = priority, state = state,
    reason = -1, attempt = 0, losses = 0, cancel = false, started = false, high = 0, low = 0,
    enqueued = enqueued, due = due, fin = -1, expires = expires, order = order, max = max,
    timeout = timeout, retain = retain, key = has(flags, HAS_KEY) and key, window = window,
    until_finish = has(flags, UNTIL_FINISH), body_apart = has(flags, BODY_APART),
    plain = has(flags, PLAIN), born = order, extras = false, grant = false, log = {} }
  if not standing then return t end
  local how, answer, ended, leased, attempt, ttl, deadline, ends, stops, holder, _, older_at
  t.state, t.reason, flags, how, answer, t.fin, ended, t.order, t.high, t.low, t.attempt, t.losses,
    t.enqueued, t.due, t.expires, leased, attempt, ttl, deadline, ends, stops, holder, _, older_at =
    struct_unpack(STANDING, standing)
  t.cancel, t.started, t.extras = has(flags, CANCEL), has(flags, STARTED), has(flags, HAS_EXTRAS)
  if has(flags, HAS_DELIVERY) then
    if older_at <= #standing then t.log = cmsgpack.unpack(sub(standing, older_at)) end
    t.log[#t.log + 1] = { t.high, t.low, attempt, holder, leased, ended, how, has(flags, LATE),
      answer, has(flags, FAILED) }
  end
  if has(flags, HAS_GRANT) then t.grant = { holder, ttl, deadline, ends, stops } end
  return t
end

local NOBODY, NEVER = { '', 0, 0, 0, -1 }, { 0, 0, 0, '', 0, -1, -1, false, -1, false }

local function encode(t)
  local count = #t.log
  local d, g = t.log[count] or NEVER, t.grant or NOBODY
  local flags = flag(t.cancel, CANCEL) + flag(t.started, STARTED) + flag(d[8], LATE)
    + flag(d[10], FAILED) + flag(count > 0, HAS_DELIVERY) + flag(t.grant, HAS_GRANT)
    + flag(t.plain, IS_PLAIN) + flag(t.extras, HAS_EXTRAS)
  local blob = struct_pack(STANDING, t.state, t.reason, flags, d[7], d[9], t.fin, d[6], t.order,
    t.high, t.low, t.attempt, t.losses, t.enqueued, t.due, t.expires, d[5], d[3], g[2], g[3], g[4],
    g[5], #d[4], d[4], #t.queue, t.queue)
  if count < 2 then return blob end
  return blob .. pack({ unpack(t.log, 1, count - 1) })
end

-- Reads fields that will be asked for, of those that were not read yet.
local function read_into(known, key, ids)
  local asked, count = {}, 0
  for at = 1, #ids do
    local id = ids[at]
    if known[id] == nil then
      known[id] = false
      count = count + 1
      asked[count] = id
    end
  end
  for first = 1, count, MANY do
    local blobs = call('HMGET', key, unpack(asked, first, math.min(first + MANY - 1, count)))
    for at = 1, #blobs do known[asked[first + at - 1]] = blobs[at] end
  end
end

local function load_standings(ids) read_into(standings, STAND, ids) end

-- Reads tasks that will be asked for.
local function load(ids)
  read_into(definitions, TASK, ids)
  load_standings(ids)
end

-- A task, or nil.
local function task(id)
  local t = tasks[id]
  if t == nil then
    if definitions[id] == nil then read_into(definitions, TASK, { id }) end
    local definition = definitions[id]
    if definition and standings[id] == nil then load_standings({ id }) end
    t = definition and decode(id, definition, standings[id])
    tasks[id] = t
  end
  return t or nil
end

-- The line that a task stands in, within the index of all lines.
local function line_of(queue_name, kind) return queue_name .. '\0' .. kind .. '\0' end

-- The same of a member of that index. Behind it stand the rank, the order, and an id. Plain tasks
-- to which nothing has happened stand there together, as they came: the order of the first, all
-- ids, and the birth that they share, which says all that a lease has to know.
local function line_in(member) return string.match(member, '^[^%z]*%z[^%z]*%z') end
local ID_SIZE, BIRTH_SIZE = 16, 16
-- Of a member, behind a line of that size: where the first id is, and how many there are; of one
-- task that is not new it is one, and no birth.
local function ids_in(member, size)
  local length = #member - size - 9
  if length == ID_SIZE then return 1, false end
  return (length - BIRTH_SIZE) / ID_SIZE, true
end

-- Until when its window holds a unique key.
local function window_end(t) return t.enqueued + t.window end

-- Whether the task holds its unique key.
local function holds_key(t)
  if not t.key then return false end
  local by_state = t.state < COMPLETED and (t.until_finish or not t.started)
  return by_state or wall < window_end(t)
end

-- What members of `keep` begin with that are no ids: so they are longer.
local TOGETHER = 'together'

-- Where a task stands: a member and a score for each index that it is in.
local function places(t)
  local p = {}
  local place = bytes8(t.order) .. t.id
  local state = t.state
  if state == AVAILABLE then
    local birth = t.plain and t.order == t.born and bytes8(t.enqueued) .. bytes8(t.timeout) or ''
    p[READY] = { line_of(t.queue, t.kind) .. char(57 - t.priority) .. place .. birth, 0 }
  elseif state == RUNNING then
    p[LEASE] = { t.id, t.grant[3] }
  elseif state == SCHEDULED or state == RETRYABLE then
    p[DUE] = { place, t.due }
  else
    local q = queue(t.queue)
    local by_queue = q.retain[state == COMPLETED and 1 or state - 2]
    local kept = t.fin + (t.retain >= 0 and t.retain or by_queue)
    local shelf = tostring(state)
    if t.key then
      kept = math.max(kept, window_end(t))
      if state == COMPLETED and wall < window_end(t) then
        -- A key that is still held must go on meeting its task, however full the shelf is.
        shelf = 'h'
        p[HELD] = { t.id, window_end(t) }
      end
    end
    -- Plain tasks that became final together are kept together.
    p[KEEP] = { t.plain and TOGETHER .. t.queue .. '\0' .. shelf .. bytes8(t.fin) or t.id, kept }
    p[DONE] = { t.queue .. '\0' .. shelf .. bytes8(t.fin) .. place, 0 }
  end
  if t.expires >= 0 and not t.started and (state == SCHEDULED or state == AVAILABLE) then
    p[EXPIRE] = { t.id, t.expires }
  end
  return p
end

-- Takes a plain task that is new out of the line: those before and behind it stay together.
local function leave_line(t)
  local line = line_of(t.queue, t.kind) .. char(57 - t.priority)
  local member = call('ZREVRANGEBYLEX', READY, '(' .. line .. bytes8(t.order + 1), '[' .. line,
    'LIMIT', 0, 1)[1]
  if not member then return end
  local size = #line - 1
  local first, count = struct_unpack('>I8', member, size + 2), ids_in(member, size)
  local before = t.order - first
  local at = size + 10 + before * ID_SIZE
  if sub(member, at, at + ID_SIZE - 1) ~= t.id then return end
  call('ZREM', READY, member)
  if before > 0 then call('ZADD', READY, 0, sub(member, 1, at - 1) .. sub(member, -BIRTH_SIZE)) end
  if before < count - 1 then
    call('ZADD', READY, 0, line .. bytes8(t.order + 1) .. sub(member, at + ID_SIZE))
  end
end

-- A task is about to be changed.
local function touch(t)
  t.changed = true
  if t.was then return end
  t.was = places(t)
  if t.state == AVAILABLE and t.plain and t.order == t.born then
    leave_line(t)
    t.was[READY] = nil
  end
  if t.state == COMPLETED and t.key then
    -- Its window may have ended since it was put on its shelf: it stands on either.
    local at = bytes8(t.fin) .. bytes8(t.order) .. t.id
    call('ZREM', DONE, t.queue .. '\0h' .. at, t.queue .. '\0' .. tostring(COMPLETED) .. at)
    call('ZREM', HELD, t.id)
    t.was[DONE], t.was[HELD] = nil, nil
  end
  task_list[#task_list + 1] = t
end

-- The one place where a state changes.
local function become(t, state, reason)
  touch(t)
  local q = queue(t.queue)
  count(q, t.state, -1)
  count(q, state, 1)
  if state ~= RUNNING and t.grant then
    hold(t.grant[1], -1)
    t.grant = false
    if q.concurrency >= 0 then woken[t.queue] = true end
  end
  if state >= COMPLETED then
    if t.state < COMPLETED then
      t.fin = wall
      q.finished = q.finished + 1
    end
    finished = true
    -- More may be kept now than the queue wants.
    if state == COMPLETED and q.n[COMPLETED + 1] > q.retain[2] then q.crowded = true end
  elseif state == AVAILABLE then
    woken[t.queue] = true
  end
  t.state, t.reason, t.order = state, reason or -1, next_order()
end

local function refund(t) t.attempt = math.max(0, t.attempt - 1) end

-- The delivery with this fence, if it is remembered: high and low half of the epoch, attempt,
-- worker, when it was leased and ended, how, whether late, the answer, whether it has a failure.
local function delivery(t, high, low)
  for at = #t.log, 1, -1 do
    local d = t.log[at]
    if d[1] == high and d[2] == low then return d end
  end
end

-- Where the failure of a delivery is kept.
local function failure_of(t, d) return 'f' .. t.id .. struct_pack('>I4I4', d[1], d[2]) end

local function is_newest(t, high, low) return t.high == high and t.low == low end

-- A lease ran out: a loss, not an attempt. Its key stays the newest until the next lease.
local function lose(t)
  touch(t)
  refund(t)
  t.losses = t.losses + 1
  local d = t.log[#t.log]
  if d then d[6], d[7] = wall, E_LOST end
  if t.cancel then
    become(t, CANCELLED)
  elseif t.losses >= LOSSES_MAX then
    become(t, DEAD, LOST)
  else
    become(t, AVAILABLE)
  end
  t.due = wall
end

-- The epoch of the delivery after the one with these halves: larger than any that the task, or one
-- with its id, ever had.
local function next_epoch(high, low)
  if floor_high > high or (floor_high == high and floor_low > low) then
    high, low = floor_high, floor_low
  end
  if high < generation then
    high, low = generation, 1
  elseif low < 4294967295 then
    low = low + 1
  else
    high, low = high + 1, 0
  end
  return high, low
end

-- Leases a task: a new epoch, an attempt, a delivery on record.
local function grant(t, w, ttl)
  become(t, RUNNING)
  t.high, t.low = next_epoch(t.high, t.low)
  t.attempt, t.started = t.attempt + 1, true
  t.grant = { w.name, ttl, mono + ttl, mono + t.timeout + STOP_GRACE, -1 }
  hold(w.name, 1)
  t.log[#t.log + 1] = { t.high, t.low, t.attempt, w.name, wall, -1, -1, false, -1, false }
  if #t.log > DELIVERIES_MAX then
    local oldest = table.remove(t.log, 1)
    if oldest[10] then call('HDEL', EXTRA, failure_of(t, oldest)) end
  end
  grants = grants + 1
  w.last = grants
  touch_worker(w)
  local q = queue(t.queue)
  q.served = grants
  touch_queue(q)
end

-- The end of all renewals.
local function hard_end(g)
  return g[5] >= 0 and math.min(g[4], g[5]) or g[4]
end

-- How long a holder may still go on once a cancellation was asked for.
local function stop_after(g) g[5] = mono + g[2] + STOP_GRACE end

-- Calls a task off; the holder of a running one is told.
local function cancel(t)
  touch(t)
  if t.state == RUNNING then
    t.cancel = true
    t.order = next_order()
    stop_after(t.grant)
    tell(t.grant[1])
  else
    become(t, CANCELLED)
  end
end

-- Forgets a task; its id stays known for a while.
local function remove(t)
  touch(t)
  t.gone = true
  tasks[t.id], definitions[t.id], standings[t.id] = false, false, false
  local q = queue(t.queue)
  count(q, t.state, -1)
  q.removed = q.removed + 1
  if t.high > floor_high or (t.high == floor_high and t.low > floor_low) then
    floor_high, floor_low = t.high, t.low
  end
  if t.key then
    local field = t.queue .. '\0' .. t.key
    if call('HGET', KEY, field) == t.id then call('HDEL', KEY, field) end
  end
  call('ZADD', GONE, wall, t.id)
end

-- Writing back ------------------------------------------------------------------------------

local function flush_tasks()
  local add, away, define, stand, gone, bodies, extra = {}, {}, {}, {}, {}, {}, {}
  local function to(lists, index)
    local list = lists[index]
    if not list then
      list = {}
      lists[index] = list
    end
    return list
  end
  for _, t in ipairs(task_list) do
    local now = t.gone and {} or places(t)
    for index, old in pairs(t.was) do
      local is_shared = index == KEEP and #old[1] > ID_SIZE
      if not is_shared and (not now[index] or now[index][1] ~= old[1]) then
        local list = to(away, index)
        list[#list + 1] = old[1]
      end
    end
    for index, new in pairs(now) do
      local old = t.was[index]
      if not old or old[1] ~= new[1] or old[2] ~= new[2] then
        local list = to(add, index)
        list[#list + 1] = new[2]
        list[#list + 1] = new[1]
      end
    end
    t.was = nil
    if t.gone then
      gone[#gone + 1] = t.id
      if t.body_apart then bodies[#bodies + 1] = t.id end
      local list = to(away, AGE)
      list[#list + 1] = bytes8(t.enqueued) .. t.id
      if t.extras then
        for _, part in ipairs({ 'r', 'p', 'c' }) do extra[#extra + 1] = part .. t.id end
        for _, d in ipairs(t.log) do
          if d[10] then extra[#extra + 1] = failure_of(t, d) end
        end
      end
    else
      if t.is_new then
        define[#define + 1] = t.id
        define[#define + 1] = definitions[t.id]
        t.is_new = false
        local list = to(add, AGE)
        list[#list + 1] = 0
        list[#list + 1] = bytes8(t.enqueued) .. t.id
      end
      if t.changed then
        local blob = encode(t)
        standings[t.id] = blob
        stand[#stand + 1] = t.id
        stand[#stand + 1] = blob
        t.changed = false
      end
    end
  end
  many('HSET', TASK, define, 2)
  many('HSET', STAND, stand, 2)
  for index, list in pairs(away) do many('ZREM', index, list, 1) end
  for index, list in pairs(add) do many('ZADD', index, list, 2) end
  many('HDEL', TASK, gone, 1)
  many('HDEL', STAND, gone, 1)
  many('HDEL', BODY, bodies, 1)
  many('HDEL', EXTRA, extra, 1)
  task_list = {}
end

local function flush_queues()
  local set = {}
  for _, q in ipairs(queue_list) do
    q.touched = nil
    for name, was in pairs(q.was) do
      store[name] = store[name] + q[name] - was
      q.was[name] = q[name]
    end
    set[#set + 1] = q.name
    set[#set + 1] = pack({ q.paused, q.concurrency, q.max_tasks, q.retain, q.n, q.accepted,
      q.removed, q.finished, q.served })
    if q.crowded then
      call('HSET', JOBS, 'o' .. q.name, '')
      q.crowded = nil
    end
  end
  many('HSET', QUEUE, set, 2)
  queue_list = {}
end

local function flush_workers()
  local set, at = {}, {}
  for _, w in ipairs(worker_list) do
    w.touched = nil
    set[#set + 1] = w.name
    set[#set + 1] = pack({ w.about, w.directive, w.heard, w.last, w.news })
    at[#at + 1] = w.heard
    at[#at + 1] = w.name
  end
  many('HSET', WORKER, set, 2)
  many('ZADD', HEARD, at, 2)
  worker_list = {}
  local excess = #at > 0 and call('ZCARD', HEARD) - WORKERS_MAX or 0
  if excess > 0 then
    local silent = call('ZRANGE', HEARD, 0, excess - 1)
    many('ZREM', HEARD, silent, 1)
    many('HDEL', WORKER, silent, 1)
  end
  for name, by in pairs(holds) do
    if by ~= 0 and call('HINCRBY', HOLDS, name, by) <= 0 then call('HDEL', HOLDS, name) end
  end
  holds = {}
end

-- Writes back what was changed.
local function flush()
  flush_tasks()
  flush_queues()
  flush_workers()
end

-- Time --------------------------------------------------------------------------------------

-- An index that is empty may have a mark all the same: see `init`.
local function first_score(index)
  local first = tonumber(call('ZRANGE', index, 0, 0, 'WITHSCORES')[2])
  return first and first < math.huge and first or nil
end

-- How long until time brings something about again; -1: never, as things stand.
local function next_timer()
  local next = -1
  local function sooner(at, now)
    if at then
      local left = math.max(0, at - now)
      if next < 0 or left < next then next = left end
    end
  end
  sooner(first_score(DUE), wall)
  sooner(first_score(EXPIRE), wall)
  if store.heal == '' then sooner(first_score(LEASE), mono) end
  return next
end

-- Brings about what has fallen due, in the order in which it did, at most `budget` tasks, and
-- writes it back.
local function run_timers(budget)
  local swept = { 0, 0, 0 }
  local late = call('ZRANGEBYSCORE', EXPIRE, '-inf', wall, 'LIMIT', 0, budget)
  load(late)
  for _, id in ipairs(late) do
    local t = task(id)
    if t then
      become(t, DEAD, EXPIRED)
      swept[3] = swept[3] + 1
    else
      call('ZREM', EXPIRE, id)
    end
  end
  if #late > 0 then flush() end
  budget = budget - #late
  if budget <= 0 then return swept end
  local due = call('ZRANGEBYSCORE', DUE, '-inf', wall, 'WITHSCORES', 'LIMIT', 0, budget)
  local out = store.heal ~= '' and {}
    or call('ZRANGEBYSCORE', LEASE, '-inf', store.certain, 'WITHSCORES', 'LIMIT', 0, budget)
  if #due + #out == 0 then return swept end
  local all, ids = {}, {}
  for at = 1, #due, 2 do
    ids[#ids + 1] = sub(due[at], 9)
    all[#all + 1] = { due[at], tonumber(due[at + 1]), ids[#ids], DUE }
  end
  for at = 1, #out, 2 do
    ids[#ids + 1] = out[at]
    all[#all + 1] = { out[at], wall - (mono - tonumber(out[at + 1])), out[at], LEASE }
  end
  load(ids)
  for _, one in ipairs(all) do
    local t = task(one[3])
    one[5] = t and t.order or 0
  end
  table.sort(all, function(a, b)
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[5] < b[5]
  end)
  for at = 1, math.min(#all, budget) do
    local t = task(all[at][3])
    if not t then
      call('ZREM', all[at][4], all[at][1])
    elseif all[at][4] == LEASE then
      lose(t)
      swept[2] = swept[2] + 1
    else
      become(t, AVAILABLE)
      swept[1] = swept[1] + 1
    end
  end
  flush()
  return swept
end

-- Ends a verb: writes everything back, unless nothing was changed, and packs its answer with what
-- others are to be told, and with what this Redis has seen so far.
local function finish(answer, is_unchanged)
  if not is_unchanged then
    flush()
    call('HSET', META, 'order', digits(order), 'grants', digits(grants), 'wall', digits(wall),
      'mono', digits(store.certain), 'floor_high', digits(floor_high), 'floor_low',
      digits(floor_low), 'accepted', digits(store.accepted), 'removed', digits(store.removed),
      'finished', digits(store.finished))
  end
  local names = {}
  for name in pairs(woken) do names[#names + 1] = name end
  return pack({ answer, names, told, finished, next_timer(), store.met,
    { store.accepted, grants, store.finished } })
end

-- A command that refuses no memory goes first: then Redis lets the rest of a script write, too,
-- although it has reached `maxmemory`. For verbs that make room, or end what has begun.
local function beyond_memory() call('HDEL', META, '') end

-- The next generation: above every one that was ever used. It follows the calendar (in seconds
-- since 2026), so that it rises, too, where its last rises were lost with a failover.
function store.raise_generation()
  generation = math.max(generation + 1, tonumber(call('TIME')[1]) - 1767225600)
  call('HSET', META, 'generation', digits(generation))
end
