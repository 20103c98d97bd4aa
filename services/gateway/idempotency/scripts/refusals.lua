-- The addresses that were refused in minutes that are over, with how often.
-- ARGV: how many at most, then members to forget
-- include: common

for at = 2, #ARGV do
  redis.call('ZREM', 'remit:refusals', ARGV[at])
  redis.call('DEL', 'remit:refused:' .. ARGV[at])
end
local minute = math.floor(clock() / 60000)
local over = redis.call('ZRANGEBYSCORE', 'remit:refusals', '-inf', '(' .. number(minute), 'LIMIT', 0, ARGV[1])
local counted = {}
for at, member in ipairs(over) do
  counted[at] = {member, redis.call('GET', 'remit:refused:' .. member) or '1'}
end
return counted
