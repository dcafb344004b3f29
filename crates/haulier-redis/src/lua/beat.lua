-- Workers' signs of life: leases renewed, progress and checkpoints saved, news brought back.
--
-- Arguments: {most checkpoints, most bytes of them, beats}; a beat is {worker, about, ttl, leases},
-- a lease {id, high, low, progress, {{name, value}, ..}}. Answers: {directive, {held, ..}}, where
-- held is 0 yes, 1 cancel, 2 stale; or, if a rule is broken and so nothing was changed, how many
-- checkpoints with how many bytes there would be.

beyond_memory()
run_timers(DUE_MAX)
local count_max, bytes_max, beats = args[1], args[2], args[3]

-- The task of a lease that can be renewed.
local function held(item)
  local t = task(item[1])
  if t and is_newest(t, item[2], item[3]) and t.grant and mono < hard_end(t.grant) then return t end
end

local function size(steps)
  local bytes = 0
  for _, step in ipairs(steps) do bytes = bytes + #step[1] + #step[2] end
  return bytes
end

-- What the checkpoints of each task will be.
local merged = {}
local function merge(item)
  local t = held(item)
  if not t or #item[5] == 0 and not merged[t.id] then return end
  local m = merged[t.id]
  if not m then
    local blob = call('HGET', EXTRA, 'c' .. t.id)
    m = { steps = blob and cmsgpack.unpack(blob) or {}, known = {} }
    for _, step in ipairs(m.steps) do m.known[step[1]] = true end
    merged[t.id] = m
  end
  for _, step in ipairs(item[5]) do
    -- A step is done once: the first value stays.
    if not m.known[step[1]] then
      m.known[step[1]] = true
      m.steps[#m.steps + 1] = step
      m.news = true
    end
  end
  local bytes = size(m.steps)
  if #m.steps > count_max or bytes > bytes_max then return { #m.steps, bytes } end
end

local ids = {}
for _, beat in ipairs(beats) do
  for _, item in ipairs(beat[4]) do ids[#ids + 1] = item[1] end
end
load(ids)
for _, beat in ipairs(beats) do
  for _, item in ipairs(beat[4]) do
    local broken = merge(item)
    if broken then return finish({ broken }) end
  end
end

local function renew(item, ttl)
  local t = held(item)
  if not t then return 2 end
  touch(t)
  t.order = next_order()
  local g = t.grant
  g[2] = ttl
  g[3] = math.min(mono + ttl, hard_end(g))
  if item[4] then
    call('HSET', EXTRA, 'p' .. t.id, item[4])
    t.extras = true
  end
  local m = merged[t.id]
  if m and m.news then
    call('HSET', EXTRA, 'c' .. t.id, pack(m.steps))
    m.news, t.extras = false, true
  end
  return t.cancel and 1 or 0
end

local answers = {}
for at, beat in ipairs(beats) do
  local w = heard(beat[1])
  w.news = false
  if beat[2] then w.about = beat[2] end
  local renewed = {}
  for number, item in ipairs(beat[4]) do renewed[number] = renew(item, beat[3]) end
  answers[at] = { w.directive, renewed }
end
return finish({ false, answers })
