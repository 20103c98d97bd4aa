-- Counts refused calls under their addresses and the clock's minute.
-- ARGV: how long a count is kept (ms), then the addresses
-- Answers for each whether it is its address' first in this minute (1, 0).
-- include: common

local minute = number(math.floor(clock() / 60000))

local function is_first(address)
  local member = minute .. ':' .. address
  local key = 'remit:refused:' .. member
  local times = redis.call('INCR', key)
  if times > 1 then
    return 0
  end
  redis.call('PEXPIRE', key, ARGV[1])
  redis.call('ZADD', 'remit:refusals', minute, member)
  return 1
end

local answers = {}
for at = 2, #ARGV do
  answers[at - 1] = is_first(ARGV[at])
end
return answers
