-- Gives a lease back, if this call still holds it: one that ran out may be another's by now.
-- ARGV: name, instance, token of this call
if redis.call('GET', 'remit:lease:' .. ARGV[1]) == ARGV[2] .. '/' .. ARGV[3] then
  return redis.call('DEL', 'remit:lease:' .. ARGV[1])
end
return 0
