-- Deletes the key if its value is ARGV[1], and publishes ARGV[2], if that is not
-- empty, so that waiters hear that the key is free. It returns 1 if the key was
-- deleted, 2 if it was and the server did not let us publish that, 0 if it was
-- not there, and -1 if another's value is there.
local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[1] then
  return -1
end
if value then
  redis.call('DEL', KEYS[1])
end
local published = ARGV[2] == '' or redis.pcall('PUBLISH', 'redlock:' .. KEYS[1], ARGV[2])
if not value then
  return 0
elseif type(published) == 'table' then
  return 2
end
return 1
