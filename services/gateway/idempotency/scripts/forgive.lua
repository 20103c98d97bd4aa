-- Takes back the reservation of a login that did not fail; of one that succeeded the address is known to its account.
-- ARGV: name of this try, key of the known address, how long it is remembered (ms; 0: not), then the keys of the windows
if tonumber(ARGV[3]) > 0 then
  redis.call('SET', 'remit:login:' .. ARGV[2], '1', 'PX', ARGV[3])
end
for at = 4, #ARGV do
  redis.call('ZREM', 'remit:login:' .. ARGV[at], ARGV[1])
end
return 1
