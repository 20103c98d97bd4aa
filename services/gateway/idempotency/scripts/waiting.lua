-- The payloads of pending records: of those that are due first and those that are due last, as many as fit.
-- ARGV: how many at each end, bytes at most
-- Answers how many pending records there are, how many were looked at, and their payloads
-- include: common

local some, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local seen, looked, payloads = {}, 0, {}
local function look(names)
  for _, name in ipairs(names) do
    if room <= 0 then
      return
    end
    if not seen[name] then
      seen[name] = true
      looked = looked + 1
      local found = redis.call('HMGET', record_key(name), 'state', 'payload')
      if found[1] == 'pending' and found[2] then
        room = room - #found[2]
        payloads[#payloads + 1] = found[2]
      end
    end
  end
end
look(redis.call('ZREVRANGE', 'remit:due', 0, some - 1))
look(redis.call('ZRANGE', 'remit:due', 0, some - 1))
return {redis.call('ZCARD', 'remit:due'), looked, payloads}
