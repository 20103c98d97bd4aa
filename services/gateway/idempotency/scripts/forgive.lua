-- Takes back the reservation of a login that succeeded, and remembers that its address is known to its account.
-- ARGV: name of this try, key of the known address, how long it is remembered (ms), then the keys of the windows
redis.call('SET', 'remit:login:' .. ARGV[2], '1', 'PX', ARGV[3])
for at = 4, #ARGV do
  redis.call('ZREM', 'remit:login:' .. ARGV[at], ARGV[1])
end
return 1
