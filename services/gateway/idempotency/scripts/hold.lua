-- Holds a lease for one call, if no gateway that still runs holds it for another.
-- ARGV: name, instance, token of this call, how long (ms)
-- Answers 0, -1 if a gateway that runs no more had left it held, or how long the other's lease still lives (ms).
local key = 'remit:lease:' .. ARGV[1]
local held = redis.call('GET', key)
if held and redis.call('EXISTS', 'remit:alive:' .. string.match(held, '^(.*)/')) == 1 then
  return math.max(redis.call('PTTL', key), 1)
end
redis.call('SET', key, ARGV[2] .. '/' .. ARGV[3], 'PX', ARGV[4])
return held and -1 or 0
