-- Says what is at the key and for how many ms it lives, and changes nothing: for a
-- server that does not let us use GETRANGE. It returns 'none', 'string' or 'other',
-- the answer to PTTL, and of a string as many bytes as GETRANGE would give.
local value = redis.pcall('GET', KEYS[1])
local left = string.format('%.0f', redis.call('PTTL', KEYS[1]))
if type(value) == 'string' then
  return {'string', left, string.sub(value, 1, 257)}
elseif not value then
  return {'none', left, ''}
elseif string.find(value['err'], 'WRONGTYPE', 1, true) then
  return {'other', left, ''}
end
return value
