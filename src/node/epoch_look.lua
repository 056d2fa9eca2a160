-- Tells what epoch.lua would compare, and changes nothing: the epoch KEYS[1] that is noted, which
-- server this is, and its time. What INFO does not say is empty.
local info = redis.pcall('INFO', 'server')
local id = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
return { redis.call('MGET', KEYS[1])[1] or '', id, string.format('%.0f', now) }
