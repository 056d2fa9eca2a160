-- Notes the epoch KEYS[1] of a server that has never granted a lock, as a person says: ARGV[1] is
-- the epoch as the client knows it. It returns 1 if that is done or was, and 0 if there is another.
local info = redis.pcall('INFO', 'server')
local id = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
if not id then
  return redis.error_reply('NOINFO strict nodes ask for INFO in a script')
end
local right = id .. string.match(ARGV[1], ':.*$')
if redis.call('SET', KEYS[1], right, 'NX') then
  return 1
end
return redis.call('MGET', KEYS[1])[1] == right and 1 or 0
