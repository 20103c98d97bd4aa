-- Looks up or claims the records of all calls that arrived together, and counts their addresses.
-- ARGV: epoch, this gateway's instance, limit (0: off), window (ms); for each call:
--   name, fingerprint, token, lease (ms), payload, users, members, address ('' is not counted), may it claim (1, 0)
-- Answers the epoch and, for each call, one of:
--   {'replay', status, body}  {'limited', wait (ms)}  {'reuse', payload}
--   {'in_progress', lease left (ms)}  {'taken', payload, published, was a lease left behind}  {'absent'}  {'claimed'}
-- Another epoch than the caller's: answers that one ('' where there is none), and does nothing.
-- include: common

local epoch = redis.call('GET', 'remit:epoch') or ''
if epoch ~= ARGV[1] or epoch == '' then
  return {epoch, {}}
end
local instance, limit, window = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()

local function over_the_limit(address)
  if limit == 0 or address == '' then
    return nil
  end
  -- As many calls as the limit allows lie inside the window if the oldest of the newest `limit` does.
  local oldest = redis.call('LINDEX', 'remit:ip:' .. address, limit - 1)
  if oldest and tonumber(oldest) > now - window then
    return tonumber(oldest) + window - now
  end
  return nil
end

local function count(address)
  if limit == 0 or address == '' then
    return
  end
  local key = 'remit:ip:' .. address
  redis.call('LPUSH', key, number(now))
  redis.call('LTRIM', key, 0, limit - 1)
  redis.call('PEXPIRE', key, window)
end

local function answer(at)
  local name, fingerprint, token, lease = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local payload, users, members, address = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local key = record_key(name)
  local found = redis.call('HMGET', key, 'state', 'fingerprint', 'payload', 'status', 'body', 'lease', 'published',
    'holder')
  local state, same = found[1], found[2] == fingerprint
  if state == 'ended' and same then
    count(address)
    return {'replay', found[4], found[5]}
  end
  local wait = over_the_limit(address)
  if wait then
    return {'limited', wait}
  end
  if not state and ARGV[at + 8] ~= '1' then
    return {'absent'}
  end
  count(address)
  if not state then
    redis.call('HSET', key, 'state', 'pending', 'fingerprint', fingerprint, 'payload', payload, 'users', users,
      'members', members, 'created', number(now), 'sent', number(now), 'tries', 0, 'owner', token,
      'holder', instance, 'lease', number(now + lease))
    index(name, users, members, now, now + lease)
    return {'claimed'}
  end
  if not same then
    return {'reuse', found[3] or ''}
  end
  local left = lease_left(found[8], found[6], now)
  if left > 0 then
    return {'in_progress', left}
  end
  redis.call('HSET', key, 'owner', token, 'holder', instance, 'lease', number(now + lease))
  return {'taken', found[3], found[7] or '0', found[6] and '1' or '0'}
end

alive(instance)
local answers = {}
for at = 5, #ARGV, 9 do
  answers[#answers + 1] = answer(at)
end
return {epoch, answers}
