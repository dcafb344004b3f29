-- One slice of housekeeping: what time alone does, and what it leaves. Argument: how many tasks may
-- be touched. Answer: {promoted, lost, expired, pruned, next}, in ms; a next of 0: at once.

beyond_memory()
local IDLE = 300000
local left = args[1]
local swept = run_timers(left)
left = left - swept[1] - swept[2] - swept[3]
forget_silent()
call('ZREMRANGEBYSCORE', GONE, '-inf', wall - DEDUP_WINDOW)
local forgotten = call('ZCARD', GONE) - DEDUP_IDS_MAX
if forgotten > 0 then call('ZREMRANGEBYRANK', GONE, 0, forgotten - 1) end

-- Looks at tasks again: where they stand may have changed without them.
local function place_again(ids)
  load(ids)
  for _, id in ipairs(ids) do
    local t = task(id)
    if t then
      touch(t)
      -- They stand where they were put, which is not where they would be put now.
      t.was = {}
    end
  end
end

-- Finished tasks of a queue whose settings have changed are kept for another time. True: that is
-- not done with.
local function say_anew()
  local jobs = call('HGETALL', JOBS)
  for at = 1, #jobs, 2 do
    if byte(jobs[at]) == 114 then
      local name, cursor = sub(jobs[at], 2), jobs[at + 1]
      local from = cursor == '' and '[' .. name .. '\0' or '(' .. cursor
      while true do
        if left <= 0 then return true end
        local members = call('ZRANGEBYLEX', DONE, from, '(' .. name .. '\1', 'LIMIT', 0,
          math.min(left, MANY))
        if #members == 0 then break end
        local ids = {}
        for number, member in ipairs(members) do ids[number] = sub(member, -16) end
        place_again(ids)
        flush()
        left = left - #members
        from = '(' .. members[#members]
        call('HSET', JOBS, jobs[at], members[#members])
      end
      call('HDEL', JOBS, jobs[at])
    end
  end
  return false
end

-- Windows that are over: what was kept for its key alone joins the shelf.
local function let_go_of_keys()
  local over = call('ZRANGEBYSCORE', HELD, '-inf', wall, 'LIMIT', 0, math.max(left, 0))
  load(over)
  for _, id in ipairs(over) do
    local t = task(id)
    if t and t.state == COMPLETED then
      place_again({ id })
      call('HSET', JOBS, 'o' .. t.queue, '')
    else
      call('ZREM', HELD, id)
    end
  end
  flush()
  left = left - #over
end

-- A plain task that is final and has nothing in `extra` (see the prelude) is forgotten without
-- being read whole, with others: each list is written at the end.
local function prune_plain(id, blob, state, lists, place)
  local _, name = struct_unpack('>Bc0Bc0', blob, NAMES_AT)
  local q = queue(name)
  touch_queue(q)
  q.n[state + 1], q.removed = q.n[state + 1] - 1, q.removed + 1
  local high, low = struct_unpack('>I4I4', blob, EPOCH_AT)
  if high > floor_high or (high == floor_high and low > floor_low) then
    floor_high, floor_low = high, low
  end
  standings[id] = false
  local here = #lists.ids + 1
  lists.ids[here] = id
  lists.age[here] = sub(blob, ENQUEUED_AT, ENQUEUED_AT + 7) .. id
  lists.done[here] = place or name .. '\0' .. tostring(state)
    .. sub(blob, FIN_AT, FIN_AT + 7) .. sub(blob, ORDER_AT, ORDER_AT + 7) .. id
  lists.gone[here + here - 1], lists.gone[here + here] = lists.now, id
end

local pruned, now_text = 0, digits(wall)
-- Forgets tasks; `places`: where in `done` they stand, if that is known.
local function prune(ids, places_known)
  load_standings(ids)
  local lists = { ids = {}, age = {}, done = {}, gone = {}, now = now_text }
  for at, id in ipairs(ids) do
    local blob, state, flags = standings[id]
    if blob and not tasks[id] then
      local _
      state, _, flags = byte(blob, 1, 3)
    end
    if flags and state >= COMPLETED and has(flags, IS_PLAIN) and not has(flags, HAS_EXTRAS) then
      prune_plain(id, blob, state, lists, places_known and places_known[at])
      pruned = pruned + 1
    else
      local t = task(id)
      if t then
        remove(t)
        pruned = pruned + 1
      end
    end
  end
  many('HDEL', TASK, lists.ids, 1)
  many('HDEL', STAND, lists.ids, 1)
  many('ZREM', AGE, lists.age, 1)
  many('ZREM', DONE, lists.done, 1)
  many('ZADD', GONE, lists.gone, 2)
  flush()
  left = left - #ids
end

-- Tasks that have been kept long enough.
local function prune_kept()
  local ids, over = {}, {}
  for _, member in ipairs(call('ZRANGEBYSCORE', KEEP, '-inf', wall, 'LIMIT', 0, left)) do
    if #ids >= left then break end
    if #member == ID_SIZE then
      ids[#ids + 1] = member
    else
      -- All of one moment: those that are not plain have a member of their own.
      local place, found = sub(member, #TOGETHER + 1), {}
      local there = call('ZRANGEBYLEX', DONE, '[' .. place, '(' .. place .. '\1')
      for at, one in ipairs(there) do found[at] = sub(one, -ID_SIZE) end
      load_standings(found)
      for _, id in ipairs(found) do
        local standing = standings[id]
        if standing and has(byte(standing, 3), IS_PLAIN) then
          if #ids == left then
            found = nil
            break
          end
          ids[#ids + 1] = id
        end
      end
      if found then over[#over + 1] = member end
    end
  end
  prune(ids)
  many('ZREM', KEEP, over, 1)
end

-- Completed tasks beyond the number that their queue keeps, oldest first.
local function thin_out()
  local jobs = call('HKEYS', JOBS)
  for _, job in ipairs(jobs) do
    if byte(job) == 111 then
      local name = sub(job, 2)
      local q = queue(name)
      local excess = q.n[COMPLETED + 1] - q.retain[2]
      if excess > 0 then
        if left <= 0 then return true end
        local shelf, next_shelf = tostring(COMPLETED), tostring(COMPLETED + 1)
        local members = call('ZRANGEBYLEX', DONE, '[' .. name .. '\0' .. shelf,
          '(' .. name .. '\0' .. next_shelf, 'LIMIT', 0, math.min(excess, left))
        local ids = {}
        for number, member in ipairs(members) do ids[number] = sub(member, -16) end
        prune(ids, members)
        -- Nothing is left of the moments before the last.
        local over, before = {}, nil
        for _, member in ipairs(members) do
          local moment = TOGETHER .. sub(member, 1, -25)
          if before and moment ~= before then over[#over + 1] = before end
          before = moment
        end
        many('ZREM', KEEP, over, 1)
        if #ids < excess and left <= 0 then return true end
      end
      call('HDEL', JOBS, job)
    end
  end
  return false
end

local more = say_anew()
if not more then
  if left > 0 then let_go_of_keys() end
  if left > 0 then prune_kept() end
  more = thin_out()
end

local next = IDLE
local function sooner(ms) if ms and ms >= 0 and ms < next then next = ms end end
sooner(next_timer())
local kept, held = first_score(KEEP), first_score(HELD)
sooner(kept and math.max(0, kept - wall))
sooner(held and math.max(0, held - wall))
if more then next = 0 end
return finish({ swept[1], swept[2], swept[3], pruned, next })
