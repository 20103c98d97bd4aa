-- Ends, releases or discards records, all that were ready together.
-- ARGV: how long an ended record is kept (ms), when a released one is due (ms), then for each:
--   verb, name, fingerprint, token, status, body, when the newest of it was asked for (ms)
-- `end`      stores status and body if it is still pending, and answers what is stored: {status, body}
-- `release`  the call is over, the transfer is not: the lease goes, the record stays; status tells if it was published
-- `sent`     it was published again
-- `discard`  the key belongs to another payload: this record goes
-- include: common

local keep, pause = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = clock()

local function ended(key, name, fingerprint, status, body, asked, found)
  local newest = tonumber(redis.call('GET', 'remit:newest_ended') or '0')
  if tonumber(asked) > newest then
    redis.call('SET', 'remit:newest_ended', asked)
  end
  if found[1] == 'ended' and found[2] == fingerprint then
    return {found[4], found[5]}
  end
  if not found[1] or found[2] == fingerprint then
    redis.call('HSET', key, 'state', 'ended', 'fingerprint', fingerprint, 'status', status, 'body', body)
    redis.call('HDEL', key, 'owner', 'holder', 'lease', 'created', 'sent', 'tries', 'published', 'users', 'members')
    if string.sub(name, 1, 1) == 'b' then
      redis.call('HDEL', key, 'payload')
      local member = split(found[7])[1]
      if member then
        redis.call('HSET', key, 'member', member)
      end
    end
    redis.call('PEXPIRE', key, keep)
    unindex(name, found[6], found[7])
  end
  return {status, body}
end

local function finish(at)
  local verb, name, fingerprint, token = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local key = record_key(name)
  local found = redis.call('HMGET', key, 'state', 'fingerprint', 'owner', 'status', 'body', 'users', 'members')
  if verb == 'end' then
    return ended(key, name, fingerprint, ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], found)
  end
  if found[1] ~= 'pending' or found[2] ~= fingerprint then
    return {}
  end
  if verb == 'release' and found[3] == token then
    redis.call('HDEL', key, 'owner', 'holder', 'lease')
    redis.call('HSET', key, 'published', ARGV[at + 4])
    redis.call('ZADD', 'remit:due', number(now + pause), name)
  elseif verb == 'sent' then
    redis.call('HSET', key, 'sent', number(now), 'published', '1')
  elseif verb == 'discard' then
    redis.call('DEL', key)
    unindex(name, found[6], found[7])
  end
  return {}
end

local answers = {}
for at = 3, #ARGV, 7 do
  answers[#answers + 1] = finish(at)
end
return answers
