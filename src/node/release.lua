-- Compare and delete. 1: deleted; 0: not there; -1: another's value is there.
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then
  return redis.call('DEL', KEYS[1])
elseif value then
  return -1
end
return 0
