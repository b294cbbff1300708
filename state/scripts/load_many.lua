-- Hashes of customers in one reply; false for those not known, instead of a row of nils.
-- KEYS: checkpoint (names the slot)   ARGV: customer key prefix, number of fields, fields, ids
local prefix, width = ARGV[1], tonumber(ARGV[2])
local fields, found = {}, {}
for i = 1, width do
  fields[i] = ARGV[2 + i]
end
for i = 3 + width, #ARGV do
  local row = redis.call('HMGET', prefix .. ARGV[i], unpack(fields))
  found[#found + 1] = row[width] and row
end
return found
