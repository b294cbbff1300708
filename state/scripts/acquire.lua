-- Become a partition's owner under a new epoch: whoever owned it before can commit no more.
-- KEYS: checkpoint, rebuild   ARGV: owner, token
-- Returns the checkpoint's fields, or the name of the one that is rebuilding it and does not let go.
local rebuilder = redis.call('GET', KEYS[2])
if rebuilder and rebuilder ~= ARGV[1] then
  return rebuilder
end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', ARGV[2])
return redis.call('HGETALL', KEYS[1])
