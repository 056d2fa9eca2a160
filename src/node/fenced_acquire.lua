-- Sets the lock KEYS[1] to ARGV[1] for ARGV[2] ms, if it is free and the number ARGV[3] is
-- above the fence KEYS[2], which then is that number for ARGV[4] ms. So is a node healed, and
-- one that has the key already told of a higher number. It returns 0 if that is done, the fence
-- if the number is not above it, and -1 less the fence if another's value is at the lock.
-- Numbers have 16 digits, 10^15 to 2^53 - 1, which doubles compare exactly; what is not one at
-- the key of the fence is somebody else's, and stays as it is.
-- All nodes run it for each lock, so it is written for speed: `+ 0` makes a number of text with
-- fewer steps than tonumber, and a pattern that is anchored is tried once, not at each digit.
local call, lock, key, token, text = redis.call, KEYS[1], KEYS[2], ARGV[1], ARGV[3]
local found = call('MGET', lock, key)
local value, fence = found[1], found[2]
local number, highest = text + 0, 0
if fence then
  highest = #fence == 16 and string.find(fence, '^[1-9]%d+$') and fence + 0
  if not highest or highest > 2 ^ 53 - 1 then
    return redis.error_reply('FENCE no number is at the key of the fence')
  end
end
if value and value ~= token then
  return -highest - 1
end
if number <= highest then
  return highest
end
if number - highest > 3.6e9 then
  -- A jump of more than an hour: is it a clock that is wrong?
  local now = call('TIME')
  if number > now[1] * 1e6 + now[2] + 3.6e9 then
    return redis.error_reply('FUTURE the number is over an hour ahead of the clock here')
  end
end
-- NX, both times: what is no string looks as if nothing were there, above.
if not fence and not call('SET', key, text, 'NX', 'PX', ARGV[4]) then
  return redis.error_reply('FENCE no number is at the key of the fence')
end
if not value and not call('SET', lock, token, 'NX', 'PX', ARGV[2]) then
  if not fence then
    call('DEL', key)
  end
  return -highest - 1
end
if fence then
  call('SET', key, text, 'PX', ARGV[4])
end
return 0
