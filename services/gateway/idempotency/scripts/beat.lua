-- This gateway runs; and the epoch, '' where there is none.
-- ARGV: instance
-- include: common

alive(ARGV[1])
return redis.call('GET', 'remit:epoch') or ''
