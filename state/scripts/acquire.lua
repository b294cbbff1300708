-- Become a partition's owner under a new epoch: whoever owned it before can commit no more.
-- KEYS: checkpoint   ARGV: owner, token
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', ARGV[2])
return redis.call('HGETALL', KEYS[1])
