-- The pending records of transfers, and the epoch.
-- ARGV: transfer ids
-- Answers the epoch and of each transfer the payload of its pending record, or ''.
-- include: common

local payloads = {}
for at = 1, #ARGV do
  local name = redis.call('HGET', 'remit:members', ARGV[at]) or ('t:' .. ARGV[at])
  local found = redis.call('HMGET', record_key(name), 'state', 'payload')
  payloads[at] = found[1] == 'pending' and found[2] or ''
end
return {redis.call('GET', 'remit:epoch') or '', payloads}
