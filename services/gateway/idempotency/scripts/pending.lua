-- The payloads of a user's pending records, newest first.
-- ARGV: user id, how many at most
-- include: common

local key = 'remit:pending:' .. ARGV[1]
local payloads = {}
for _, name in ipairs(redis.call('ZREVRANGE', key, 0, tonumber(ARGV[2]) - 1)) do
  local found = redis.call('HMGET', record_key(name), 'state', 'payload')
  if found[1] == 'pending' then
    payloads[#payloads + 1] = found[2]
  else
    redis.call('ZREM', key, name)
  end
end
return payloads
