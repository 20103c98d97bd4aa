-- Reserves one failure in every window, or says how long to wait. A success takes its reservation back (forgive).
-- ARGV: window (ms), name of this try, key that tells whether the account knows the address, the account's window for
--   that address, its window for strangers, limit of both; then for each further window: key, limit
-- Answers {0, 0}, or the milliseconds until there is room and which window (from 0) has none for longest.
-- include: common

local window, try = tonumber(ARGV[1]), ARGV[2]
local now = clock()
local windows = {{ARGV[5], tonumber(ARGV[6])}}
if redis.call('EXISTS', 'remit:login:' .. ARGV[3]) == 1 then
  windows = {{ARGV[4], tonumber(ARGV[6])}}
end
for at = 7, #ARGV, 2 do
  windows[#windows + 1] = {ARGV[at], tonumber(ARGV[at + 1])}
end
local wait, fullest = 0, 0
for at, item in ipairs(windows) do
  local key = 'remit:login:' .. item[1]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', number(now - window))
  if redis.call('ZCARD', key) >= item[2] then
    local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local left = math.max(tonumber(oldest[2]) + window - now, 1)
    if left > wait then
      wait, fullest = left, at - 1
    end
  end
end
if wait == 0 then
  for _, item in ipairs(windows) do
    local key = 'remit:login:' .. item[1]
    redis.call('ZADD', key, number(now), try)
    redis.call('PEXPIRE', key, window)
  end
end
return {wait, fullest}
