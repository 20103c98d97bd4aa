-- Hands out the records that are due, each to one sweeper: whoever moves its due time has it.
-- ARGV: epoch, how many at most, the first pause (ms), the longest pause (ms), could it be published now (1, 0)
-- Each look doubles a record's pause, but those at which nothing could be done: it must not wait when it can be.
-- Answers the epoch, now, newest_ended, and of each record
--   {name, fingerprint, payload, sent, published, tries}
-- include: common

local epoch = redis.call('GET', 'remit:epoch') or ''
local now = clock()
if epoch ~= ARGV[1] or epoch == '' then
  return {epoch, number(now), '0', {}}
end
local first, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local records = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'remit:due', '-inf', number(now), 'LIMIT', 0, ARGV[2])) do
  local key = record_key(name)
  local found = redis.call('HMGET', key, 'state', 'fingerprint', 'payload', 'sent', 'published', 'tries', 'lease',
    'holder')
  local left = lease_left(found[8], found[7], now)
  if found[1] ~= 'pending' then
    redis.call('ZREM', 'remit:due', name)
  elseif left > 0 then
    redis.call('ZADD', 'remit:due', number(now + left), name)
  else
    local tries, pause = tonumber(found[6] or '0'), first
    if ARGV[5] == '1' then
      tries = redis.call('HINCRBY', key, 'tries', 1)
      pause = math.min(first * 2 ^ math.min(tries - 1, 30), longest)
    end
    redis.call('ZADD', 'remit:due', number(now + pause), name)
    records[#records + 1] = {name, found[2], found[3], found[4], found[5] or '0', number(tries)}
  end
end
return {epoch, number(now), redis.call('GET', 'remit:newest_ended') or '0', records}
