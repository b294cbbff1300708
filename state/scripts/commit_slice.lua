-- Commit one slice of one partition, or nothing.
-- KEYS: checkpoint, outbox, due, erased
-- ARGV: customer key prefix, msgpack of
--   {expected = {field, value, ...}, checkpoint = {field, value, ...}, fields = {name, ...},
--    ids = {id, ...}, rows = {{value, ...}, ...}, due = {score, ...},
--    whole = true or false, erased = {{id, name, tombstone}, ...}},
--   outbox entry, then some bytes for each customer: the whole hash for RESTORE if `whole`, and then there
--   are no rows; else the ledger, if it is written, which is the last field and not among a row's values.
--   Bytes stand outside the msgpack: Redis's cmsgpack reads no binary type.
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
  local right = slice.whole and ARGV[3 + i]
  if not slice.whole then
    local row = slice.rows[i]
    row[width] = row[width] or ARGV[3 + i]
    right = #row == width
  end
  if not right or not slice.due[i] then
    return redis.error_reply('slice is malformed at customer ' .. i)
  end
end
local due = {}
for i, id in ipairs(slice.ids) do
  if slice.whole then
    redis.call('RESTORE', prefix .. id, 0, ARGV[3 + i], 'REPLACE')
  else
    local row, args = slice.rows[i], {}
    for j = 1, width do
      args[2 * j - 1] = fields[j]
      args[2 * j] = row[j]
    end
    redis.call('HSET', prefix .. id, unpack(args))
  end
  due[#due + 1] = slice.due[i]
  due[#due + 1] = id
  if #due == 1000 or i == #slice.ids then
    redis.call('ZADD', KEYS[3], unpack(due))
    due = {}
  end
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
