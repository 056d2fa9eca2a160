-- Goes before a script that grants or heals, at strict nodes: a server that has forgotten what it
-- granted, or may have, grants nothing until all of that has ended. The last key is that of the
-- epoch; the last arguments are the epoch as the client knows it, and 1 to heal, which goes on.
-- An epoch is RUN_ID:MAX_TTL:DATABASE:QUORUM/NODES, and Q:UNTIL: before it while nothing is granted.
-- The quarantine is a part of the value and no key with a ttl, which could be evicted.
local heals, known, epoch = table.remove(ARGV), table.remove(ARGV), table.remove(KEYS)
local found = redis.call('MGET', epoch)[1]
if found ~= known then
  local info = redis.pcall('INFO', 'server')
  local id = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
  if not id then
    return redis.error_reply('NOINFO strict nodes ask for INFO in a script')
  end
  local now = redis.call('TIME')
  now = now[1] * 1000 + math.floor(now[2] / 1000)
  local max, db, size = string.match(known, ':(%d+):(%d+):(%d+/%d+)$')
  local right = id .. ':' .. max .. ':' .. db .. ':' .. size
  local limit, rest = string.match(found or '', '^Q:(%d+):(.*)$')
  limit, rest = tonumber(limit), rest or found or ''
  local its = { string.match(rest, '^(%x+):(%d+):(%d+):(%d+/%d+)$') }
  if its[1] == id and its[3] == db and its[2] ~= max then
    return redis.error_reply('MAXTTL ' .. its[2])
  elseif its[1] == id and its[3] == db and its[4] ~= size then
    return redis.error_reply('NODES ' .. its[4])
  elseif rest ~= right or limit and limit > now + max + 1 then
    -- It is another's, or none, or its clock was put back.
    limit = now + max + 1
    redis.call('SET', epoch, 'Q:' .. string.format('%.0f', limit) .. ':' .. right)
  elseif limit and now >= limit then
    redis.call('SET', epoch, right)
    limit = nil
  end
  if limit and heals ~= '1' then
    return redis.error_reply('QUARANTINE ' .. string.format('%.0f', limit - now))
  elseif known ~= right then
    return redis.error_reply('EPOCH ' .. id)
  end
end
