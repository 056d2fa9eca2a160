-- Makes the lock KEYS[1] live for ARGV[2] ms at least, if its value is ARGV[1], and raises the
-- fence KEYS[2] to the number ARGV[3], for ARGV[4] ms. With '1' as ARGV[5] it hands the lock on:
-- only if the number is above the fence. It returns 1 if that is done, 0 if nothing is at the
-- lock, -1 if another's value is, and the fence if that is not below the number of a hand-over.
local value, fence = unpack(redis.call('MGET', KEYS[1], KEYS[2]))
if value ~= ARGV[1] then
  -- What is no string looks as if nothing were there.
  return (value or redis.call('PTTL', KEYS[1]) ~= -2) and -1 or 0
end
local highest = 0
if fence then
  highest = #fence == 16 and string.find(fence, '^[1-9]%d+$') and tonumber(fence)
  highest = highest and highest <= 2 ^ 53 - 1 and highest
end
local number = tonumber(ARGV[3])
local hands_on = ARGV[5] == '1'
if hands_on and highest and number <= highest then
  return highest
end
if highest and number - highest > 3.6e9 then
  local now = redis.call('TIME')
  if number > now[1] * 1e6 + now[2] + 3.6e9 then
    if hands_on then
      return redis.error_reply('FUTURE the number is over an hour ahead of the clock here')
    end
    highest = false
  end
end
local raised = highest and number > highest
if raised then
  -- Before the lock, and for a hand-over it must be; an extension goes without, as on a server
  -- that is out of memory, or where the key of the fence is somebody else's.
  local try = hands_on and redis.call or redis.pcall
  raised = try('SET', KEYS[2], ARGV[3], 'PX', ARGV[4], fence and 'XX' or 'NX')
elseif highest and fence then
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
if hands_on and not raised then
  return redis.error_reply('FENCE no number is at the key of the fence')
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
