-- Keep a partition from being acquired by anybody else, for a while or from now on no more.
-- KEYS: rebuild   ARGV: owner, milliseconds (0: let go)
-- Returns the owner for whom it now is reserved; empty if for nobody.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  return held
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return ''
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
