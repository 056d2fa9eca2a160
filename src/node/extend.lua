-- Compare and lengthen, never shorten. 1: ours until at least ARGV[2] ms from
-- now; 0: not there; -1: another's value is there. With ARGV[3] = 1, a key that
-- is not there is set again; 2: it was, and that is no vote.
-- PEXPIRE and not SET: it also works on a server that is out of memory.
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
