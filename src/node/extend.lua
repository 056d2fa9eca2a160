-- If the key's value is ARGV[1], makes it live for at least ARGV[2] ms from now,
-- and never shortens its life. If ARGV[3] is 1, a key that is not there is set
-- again. It returns 1 if the key lives so long, 2 if it was set again, which is
-- no vote, 0 if it is not there, and -1 if another's value is there.
-- PEXPIRE is used and not SET, since it works on a server without memory, too.
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return 1
elseif value then
  return -1
elseif ARGV[3] == '1' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 2
end
return 0
