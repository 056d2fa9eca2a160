-- Releases a lock whose acquire may still arrive, and sees to it that it is refused then: the
-- fence KEYS[2] becomes ARGV[3], the highest number that was sent, for ARGV[4] ms. For the rest it
-- is a release of the lock KEYS[1], with the same arguments and answers.
local value, fence = unpack(redis.call('MGET', KEYS[1], KEYS[2]))
local own = value == ARGV[1]
if own then
  redis.call('DEL', KEYS[1])
end
local published = ARGV[2] == '' or value and not own
  or redis.pcall('PUBLISH', 'redlock:' .. KEYS[1], ARGV[2])
local highest = 0
if fence then
  highest = #fence == 16 and string.find(fence, '^[1-9]%d+$') and tonumber(fence)
  highest = highest and highest <= 2 ^ 53 - 1 and highest
end
local number = tonumber(ARGV[3])
if highest and number - highest > 3.6e9 then
  -- What an acquire would refuse needs no tombstone, and must not get one.
  local now = redis.call('TIME')
  if number > now[1] * 1e6 + now[2] + 3.6e9 then
    number = 0
  end
end
-- At last, so that a server without memory has released it; if it had nothing, that is an error.
if not highest or number > highest
    and not redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4], fence and 'XX' or 'NX') then
  return redis.error_reply('FENCE no number is at the key of the fence')
end
if own then
  return type(published) == 'table' and 2 or 1
end
return value and -1 or 0
