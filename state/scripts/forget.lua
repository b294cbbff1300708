-- Remove customers from a partition, if it is still ours.
-- KEYS: checkpoint, due   ARGV: customer key prefix, epoch, token, ids
-- Returns 1, or 0 when fenced.
local found = redis.call('HMGET', KEYS[1], 'epoch', 'token')
if found[1] ~= ARGV[2] or found[2] ~= ARGV[3] then
  return 0
end
for i = 4, #ARGV do
  redis.call('DEL', ARGV[1] .. ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
end
return 1
