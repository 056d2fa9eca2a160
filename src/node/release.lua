-- Compare and delete, and tell those who wait that the key is free. 1: deleted;
-- 2: deleted, but this server lets us tell nobody; 0: not there; -1: another's
-- value is there. ARGV[2] is what to tell; nothing if it is empty.
local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[1] then
  return -1
end
if value then
  redis.call('DEL', KEYS[1])
end
local told = ARGV[2] == '' or redis.pcall('PUBLISH', 'redlock:' .. KEYS[1], ARGV[2])
if not value then
  return 0
elseif type(told) == 'table' then
  return 2
end
return 1
