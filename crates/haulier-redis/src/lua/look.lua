-- Whether what must be there is there. Answer: {number of the key, how many it should hold, how
-- many it holds} for each that does not; -1 stands for a mark that is missing (see `init`). One
-- script sees one moment, so all of it must agree. Changes nothing.

-- Of more queues than that not each is looked into: only what they come to together.
local QUEUES_READ = 5000

local wrong = {}
local function compare(number, should, holds)
  if should ~= holds then wrong[#wrong + 1] = { number, should, holds } end
end

for _, number in ipairs({ 2, 3, 4, 13, 14, 18, 19, 21 }) do
  if call('HEXISTS', KEYS[number], '') == 0 then wrong[#wrong + 1] = { number, -1, 0 } end
end
for _, number in ipairs({ 5, 8, 11, 12, 15 }) do
  if not call('ZSCORE', KEYS[number], '') then wrong[#wrong + 1] = { number, -1, 0 } end
end
local stored = store.accepted - store.removed
compare(2, stored, call('HLEN', TASK) - 1)
compare(9, stored, call('ZCARD', AGE))
local due, lease, done = call('ZCARD', DUE), call('ZCARD', LEASE), call('ZCARD', DONE)
-- Several tasks may stand in line together.
local lines = call('ZCARD', READY) - 1
local available = stored - due - lease - done
if available < 0 or lines > available or (lines < 1 and available > 0) then
  compare(5, available, lines)
end
if call('HLEN', QUEUE) <= QUEUES_READ then
  local n = { 0, 0, 0, 0, 0, 0, 0 }
  for _, blob in ipairs(call('HVALS', QUEUE)) do
    if blob ~= '' then
      for at, count_of in ipairs(cmsgpack.unpack(blob)[5]) do n[at] = n[at] + count_of end
    end
  end
  compare(6, n[SCHEDULED + 1] + n[RETRYABLE + 1], due)
  compare(7, n[RUNNING + 1], lease)
  compare(10, n[COMPLETED + 1] + n[CANCELLED + 1] + n[DEAD + 1], done)
end
return pack(wrong)
