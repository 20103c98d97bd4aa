-- How many records are pending, and a look at some: those that are due first and those that are due last, for what has
-- been pending for long is looked at ever less often.
-- ARGV: how many at each end
-- Answers now, how many there are, and of each record {the id of its transfer or of the first of its batch, created}
-- include: common

local some = tonumber(ARGV[1])
local seen, records = {}, {}
local function look(names)
  for _, name in ipairs(names) do
    if not seen[name] then
      seen[name] = true
      local found = redis.call('HMGET', record_key(name), 'state', 'created', 'members')
      local id = string.sub(name, 1, 2) == 't:' and string.sub(name, 3) or split(found[3] or '')[1]
      if found[1] == 'pending' and id then
        records[#records + 1] = {id, found[2]}
      end
    end
  end
end
look(redis.call('ZRANGE', 'remit:due', 0, some - 1))
look(redis.call('ZRANGE', 'remit:due', -some, -1))
return {number(clock()), redis.call('ZCARD', 'remit:due'), records}
