-- Compare and delete, and tell those who wait. 1: deleted; 2: deleted, but
-- this server lets us tell nobody; 0: not there; -1: another's value is there.
-- ARGV[2] is what to tell; nothing if it is empty.
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then
  redis.call('DEL', KEYS[1])
  if ARGV[2] ~= '' then
    local told = redis.pcall('PUBLISH', 'redlock:' .. KEYS[1], ARGV[2])
    if type(told) == 'table' then
      return 2
    end
  end
  return 1
elseif value then
  return -1
end
return 0
