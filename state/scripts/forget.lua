-- Remove customers and tombstones from a partition, if it is still ours.
-- KEYS: checkpoint, due, erased   ARGV: customer key prefix, epoch, token, number of ids, ids, names
-- Returns 1, or 0 when fenced.
local found = redis.call('HMGET', KEYS[1], 'epoch', 'token')
if found[1] ~= ARGV[2] or found[2] ~= ARGV[3] then
  return 0
end
local last = 4 + tonumber(ARGV[4])
for i = 5, last do
  redis.call('DEL', ARGV[1] .. ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
end
for i = last + 1, #ARGV do
  redis.call('HDEL', KEYS[3], ARGV[i])
end
return 1
