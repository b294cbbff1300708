-- Commit one slice of one partition, or nothing.
-- KEYS: checkpoint, outbox, due, erased
-- ARGV: customer key prefix, msgpack of
--   {expected = {field, value, ...}, checkpoint = {field, value, ...}, fields = {name, ...},
--    ids = {id, ...}, rows = {{value, ...}, ...}, due = {score, ...},
--    erased = {{id, name, tombstone}, ...}},
--   outbox entry, then one ledger a customer. Bytes stand outside the msgpack: Redis's cmsgpack reads
--   no binary type. The ledger, if written, is the last field and not among a row's values.
-- Returns {1, outbox entry id or ""}, or {0, the checkpoint's fields} when fenced.
local slice = cmsgpack.unpack(ARGV[2])
local held, expected = true, slice.expected
for i = 1, #expected, 2 do
  local found, wanted = redis.call('HGET', KEYS[1], expected[i]), expected[i + 1]
  held = held and (found == wanted or not found and (wanted == '0' or wanted == ''))
end
if not held then
  return {0, redis.call('HGETALL', KEYS[1])}
end
local fields, prefix = slice.fields, ARGV[1]
local width = #fields
-- All that could fail is looked at before the first write: a script that fails later is not undone.
for i = 1, #slice.ids do
  local row = slice.rows[i]
  row[width] = row[width] or ARGV[3 + i]
  if #row ~= width or not slice.due[i] then
    return redis.error_reply('slice is malformed at customer ' .. i)
  end
end
for i, id in ipairs(slice.ids) do
  local row, args = slice.rows[i], {}
  for j = 1, width do
    args[2 * j - 1] = fields[j]
    args[2 * j] = row[j]
  end
  redis.call('HSET', prefix .. id, unpack(args))
  redis.call('ZADD', KEYS[3], slice.due[i], id)
end
for _, gone in ipairs(slice.erased) do
  redis.call('DEL', prefix .. gone[1])
  redis.call('ZREM', KEYS[3], gone[1])
  redis.call('HSET', KEYS[4], gone[2], gone[3])
end
redis.call('HSET', KEYS[1], unpack(slice.checkpoint))
local entry = ''
if #ARGV[3] > 0 then
  entry = redis.call('XADD', KEYS[2], '*', 'messages', ARGV[3])
end
return {1, entry}
