-- Registers again what a gateway holds, after Redis lost it; what is there already stays as it is.
-- ARGV: the epoch to set where there is none ('' : not yet), when they are due (ms), then for each record:
--   name, fingerprint, payload, users, members
-- Answers the epoch ('' where there still is none) and now.
-- include: common

local pause = tonumber(ARGV[2])
local now = clock()
for at = 3, #ARGV, 5 do
  local name = ARGV[at]
  local key = record_key(name)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'state', 'pending', 'fingerprint', ARGV[at + 1], 'payload', ARGV[at + 2],
      'users', ARGV[at + 3], 'members', ARGV[at + 4], 'created', number(now), 'sent', number(now), 'tries', 0,
      'published', '0')
    index(name, ARGV[at + 3], ARGV[at + 4], now, now + pause)
  end
end
if ARGV[1] ~= '' then
  redis.call('SET', 'remit:epoch', number(now) .. '-' .. ARGV[1], 'NX')
end
return {redis.call('GET', 'remit:epoch') or '', number(now)}
