-- Takes back the ends of records whose transfers the database does not know any more.
-- ARGV: for each record: name, fingerprint, users ('': it is forgotten, its key is free), when it was asked for (ms)
-- What was asked for first is due first. Answers how many records there were to take back.
-- include: common

local taken = 0
for at = 1, #ARGV, 4 do
  local name, fingerprint, users, asked = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local key = record_key(name)
  local found = redis.call('HMGET', key, 'state', 'fingerprint')
  if found[1] == 'ended' and found[2] == fingerprint then
    taken = taken + 1
    if users == '' then
      redis.call('DEL', key)
    else
      redis.call('HDEL', key, 'status', 'body')
      redis.call('HSET', key, 'state', 'pending', 'users', users, 'members', '', 'created', number(asked),
        'sent', number(asked), 'tries', 0, 'published', '0')
      redis.call('PERSIST', key)
      index(name, users, '', asked, asked)
    end
  end
end
return taken
