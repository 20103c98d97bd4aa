-- A page of the records that have ended.
-- ARGV: where to go on ('0': from the beginning), how many keys to look at
-- Answers where the next page begins ('0': this was the last) and of each record
--   {name, fingerprint, status, payload, member}
-- include: common

local page = redis.call('SCAN', ARGV[1], 'MATCH', record_key('*'), 'COUNT', ARGV[2])
local records = {}
for _, key in ipairs(page[2]) do
  local found = redis.call('HMGET', key, 'state', 'fingerprint', 'status', 'payload', 'member')
  if found[1] == 'ended' then
    records[#records + 1] = {string.sub(key, #record_key('') + 1), found[2], found[3], found[4] or '', found[5] or ''}
  end
end
return {page[1], records}
