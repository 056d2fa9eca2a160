-- Behind epoch.lua: sets the lock KEYS[1] to ARGV[1] for ARGV[2] ms if it is free.
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
