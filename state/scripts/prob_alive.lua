-- P(alive) of one customer as of a moment, past or to come. Reads the keys it is given, writes nothing.
-- For whoever has redis-cli and nothing else: ops/direct-redis.md. One text, two ways to run it: as a
-- script (SCRIPT LOAD, EVALSHA), and behind a first line `#!lua name=everscore` as a function of Redis 7
-- (FUNCTION LOAD, FCALL_RO prob_alive).
-- KEYS: customer, scorecards, installation; or customer alone, where a cluster keeps the others elsewhere
-- ARGV: the moment by the clocks of the business, YYYY-MM-DD or YYYY-MM-DDTHH:MM[:SS]; with Z or an offset
--   where the time zone of the installation is UTC. Then, with one key, the scorecard as HGET scorecards
--   <version> gives it.
-- Returns the probability as text, in the digits that it takes to read the same number again.
local function shown(text)
  if #text > 80 then
    -- Not in the middle of a letter: the reply would be no UTF-8.
    text = text:sub(1, 80):gsub('[\128-\255]+$', '') .. '...'
  end
  return '"' .. text:gsub('%c', '?') .. '"'
end

local function refuse(...)
  error({refusal = table.concat({...})})
end

-- A number in base 128, and where it ends. Compared as text, since sums of money go beyond 2^53.
local function number_at(bytes, position, key)
  local from, upto = bytes:find('^[\128-\255]*[%z\1-\127]', position)
  if not from then
    refuse('the ledger of ', shown(key), ' ends inside a number. Mend it: everscore rebuild.')
  end
  return bytes:sub(from, upto), upto + 1
end

local function value_of(number)
  local value = 0
  for place = #number, 1, -1 do
    value = value * 128 + number:byte(place) % 128
  end
  return value
end

local function at_least(number, other)
  if #number ~= #other then
    return #number > #other
  end
  return number:reverse() >= other:reverse()
end

-- Repeat purchase days until a day, and the first and the last of them; see scoring/ledger.py.
local function purchase_days(ledger, until_day, key)
  local size, position = number_at(ledger, 1, key)
  local stop = position + value_of(size)
  local days = ledger:sub(position, stop - 1)
  if stop - 1 > #ledger then
    refuse('the ledger of ', shown(key), ' is cut short. Mend it: everscore rebuild.')
  end
  local frequency, first, last, day = -1, nil, nil, nil
  position = 1
  while position <= #days do
    local step, flags, bought, refunded
    step, position = number_at(days, position, key)
    flags, position = number_at(days, position, key)
    bought, position = number_at(days, position, key)
    step, flags, refunded = value_of(step), value_of(flags), '\0'
    if flags % 2 == 1 then
      refunded, position = number_at(days, position, key)
    end
    if day then
      day = day + step
    else
      day = step % 2 == 0 and step / 2 or -(step + 1) / 2
    end
    if day > until_day then
      break
    end
    -- A day whose purchases were all cancelled the same day is none; one of free purchases is.
    local cancelled = bought ~= '\0' and at_least(refunded, bought)
    if flags >= 2 and not cancelled then
      frequency, first, last = frequency + 1, first or day, day
    end
  end
  return frequency, first, last
end

-- Days since 1970-01-01 of a day of the Gregorian calendar; nil where there is no such day.
local function day_number(year, month, day)
  local lengths = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
  if year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) then
    lengths[2] = 29
  end
  if year < 1 or not lengths[month] or day < 1 or day > lengths[month] then
    return nil
  end
  local before = year - 1
  local days = before * 365 + math.floor(before / 4) - math.floor(before / 100) + math.floor(before / 400)
  for earlier = 1, month - 1 do
    days = days + lengths[earlier]
  end
  return days + day - 1 - 719162
end

-- Seconds by which a zone is ahead of UTC; nil where it is none.
local function seconds_ahead(zone)
  if zone == 'Z' then
    return 0
  end
  local sign, hours, minutes = zone:match('^([+-])(%d%d):(%d%d)$')
  if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then
    return nil
  end
  return (sign == '-' and -1 or 1) * (hours * 3600 + minutes * 60)
end

-- Seconds since midnight of a time such as T09:30:00.5, and the zone behind it; nil where it is none.
local function time_of_day(text)
  local hour, minute, zone = text:match('^[T ](%d%d):(%d%d)(.*)$')
  local second, fraction = '00', ''
  if hour and zone:match('^:%d%d') then
    second, zone = zone:match('^:(%d%d)(.*)$')
    if zone:match('^%.%d') then
      fraction, zone = zone:match('^%.(%d+)(.*)$')
    end
  end
  if not hour or tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 or #fraction > 6 then
    return nil
  end
  local micros = tonumber((fraction .. '000000'):sub(1, 6))
  return hour * 3600 + minute * 60 + second, micros, zone
end

-- Days since 1970-01-01 by the clocks of the business, with a fraction.
local function civil_days(text, timezone)
  local year, month, day, rest = text:match('^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$')
  local date = year and day_number(tonumber(year), tonumber(month), tonumber(day))
  local seconds, micros, zone = 0, 0, ''
  if date and rest ~= '' then
    seconds, micros, zone = time_of_day(rest)
  end
  local ahead = zone and (zone == '' and 0 or seconds_ahead(zone))
  if not date or not seconds or not ahead then
    refuse(shown(text), ' is no moment: give a day such as 2026-11-21, or 2026-11-21T09:30:00.')
  end
  if zone ~= '' and timezone ~= 'UTC' then
    refuse(shown(text), ' has an offset, and the time zone here is ', shown(timezone or 'not given'),
      ': give the moment as its clocks show it, without one.')
  end
  return ((date * 86400 + seconds - ahead) * 1e6 + micros) / 86400e6
end

-- Kahan's way to a logarithm of 1 + y that keeps its digits for small y.
local function log1p(y)
  local sum = 1 + y
  return sum == 1 and y or math.log(sum) * (y / (sum - 1))
end

-- scoring/alive.py; in logarithms, so that thousands of purchases do not overflow.
local function probability(frequency, t_x, age, params)
  local survivals = frequency + params.b
  if params.family == 'bgnbd' then
    if frequency == 0 then
      return 1
    end
    survivals = frequency + (params.b - 1)
  end
  local log_odds_dead = (frequency + params.r) * log1p((age - t_x) / (t_x + params.alpha_days))
    + math.log(params.a / survivals)
  if log_odds_dead > 0 then
    local odds_alive = math.exp(-log_odds_dead)
    return odds_alive / (1 + odds_alive)
  end
  return 1 / (1 + math.exp(log_odds_dead))
end

local function read(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if type(found) == 'table' and found.err then
    refuse('cannot read ', shown(key), ': ', found.err)
  end
  return found
end

local function parameters(version, body)
  local understood, card = pcall(cjson.decode, body)
  local params = understood and type(card) == 'table' and card.alive
  if type(params) ~= 'table' then
    refuse('scorecard ', shown(version), ' is not one: ', shown(body))
  end
  if params.family ~= 'mbgnbd' and params.family ~= 'bgnbd' then
    refuse('scorecard ', shown(version), ' is of a family not known here: ', shown(tostring(params.family)))
  end
  for _, name in ipairs({'r', 'alpha_days', 'a', 'b'}) do
    if type(params[name]) ~= 'number' or not (params[name] > 0) then
      refuse('scorecard ', shown(version), ' has ', name, ' = ', shown(tostring(params[name])), ', not a number above 0')
    end
  end
  return params
end

local function text_of(number)
  for digits = 15, 16 do
    local text = string.format('%.' .. digits .. 'g', number)
    if tonumber(text) == number then
      return text
    end
  end
  return string.format('%.17g', number)
end

local function answer(keys, args)
  if #keys ~= 3 and #keys ~= 1 then
    refuse('needs 3 keys, customer:<id> scorecards installation, or the customer alone; found ', #keys)
  end
  if #args ~= (#keys == 3 and 1 or 2) then
    refuse(#keys == 3 and 'needs 1 argument, a moment such as 2026-11-21; found '
      or 'needs 2 arguments with one key, a moment such as 2026-11-21 and the scorecard; found ', #args)
  end
  local customer, timezone = keys[1], nil
  local found = read('HMGET', customer, 'ledger', 'scorecard')
  local ledger, version = found[1], found[2]
  if not ledger or not version then
    refuse('there is no customer at ', shown(customer))
  end
  local body = args[2]
  if #keys == 3 then
    body = read('HGET', keys[2], version)
    if not body then
      refuse('scorecard ', shown(version), ' of ', shown(customer), ' is not in ', shown(keys[2]))
    end
    timezone = read('HGET', keys[3], 'timezone') or nil
  end
  local now = civil_days(args[1], timezone)
  local params = parameters(version, body)
  local frequency, first, last = purchase_days(ledger, math.floor(now), customer)
  if not first then
    refuse(shown(customer), ' has no purchase until ', shown(args[1]))
  end
  return text_of(probability(frequency, last - first, now - first, params))
end

local function prob_alive(keys, args)
  local done, found = pcall(answer, keys, args)
  if done then
    return found
  end
  local refusal = type(found) == 'table' and found.refusal
  return redis.error_reply('ERR prob_alive: ' .. (refusal or tostring(found)))
end

if redis.register_function then
  redis.register_function({function_name = 'prob_alive', callback = prob_alive, flags = {'no-writes'}})
  return
end
return prob_alive(KEYS, ARGV)
