-- Keys, all below `remit:`:
--   epoch            drawn when it is missing: whoever remembers another one knows that records were lost
--   record:<name>    hash: state (pending, ended), fingerprint, payload, users, members, and
--                      while pending: created, sent, published, tries; owner, holder and lease while a call is open
--                      once ended:    status, body; of a batch the first of its members instead of the payload
--                    <name> is t:<transfer id> or b:<batch id>; it expires only once ended
--   members          hash: transfer id -> name of the batch record that holds it, while that is pending
--   pending:<user>   sorted set of the names of a user's pending records, by the time they were made
--   due              sorted set of the names of all pending records, by when the sweeper looks at them
--   newest_ended     the latest time at which a transfer that has ended was asked for
--   alive:<instance> is there while that gateway runs: the leases of a dead one count for nothing
--   ip:<address>     list of the times of the counted calls of an address, newest first, as many as the limit
-- Times are milliseconds since 1970 by Redis' own clock.

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function number(value)
  return string.format('%.0f', value)
end

local function record_key(name)
  return 'remit:record:' .. name
end

local function split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^,]+') do
    parts[#parts + 1] = part
  end
  return parts
end

local function lease_left(holder, lease, now)
  local left = tonumber(lease or '0') - now
  if left > 0 and redis.call('EXISTS', 'remit:alive:' .. (holder or '')) == 1 then
    return left
  end
  return 0
end

local function alive(instance)
  redis.call('SET', 'remit:alive:' .. instance, '1', 'PX', 5000)
end

local function index(name, users, members, created, due)
  redis.call('ZADD', 'remit:due', number(due), name)
  for _, user in ipairs(split(users)) do
    redis.call('ZADD', 'remit:pending:' .. user, number(created), name)
  end
  for _, member in ipairs(split(members)) do
    redis.call('HSET', 'remit:members', member, name)
  end
end

local function unindex(name, users, members)
  redis.call('ZREM', 'remit:due', name)
  for _, user in ipairs(split(users)) do
    redis.call('ZREM', 'remit:pending:' .. user, name)
  end
  for _, member in ipairs(split(members)) do
    redis.call('HDEL', 'remit:members', member)
  end
end
