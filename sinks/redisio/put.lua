-- KEYS: the record, the mark of its deletion.
-- ARGV: version, value ("" deletes), TTL of a value in ms (0: none), TTL of a mark in ms.
-- Answers 1 if it wrote, 0 if what is there is as new.
-- Versions are longer than Lua's numbers: they are compared as digits.
local function newer(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
local have = '0'
local value = redis.call('GET', KEYS[1])
if value then have = string.match(value, '^{"version":"(%d+)"') or '0' end
local mark = redis.call('GET', KEYS[2])
if mark and newer(mark, have) then have = mark end

local version = ARGV[1]
if ARGV[2] == '' and version == '0' then
  version = have -- whatever is there, and nothing as old as that again
elseif not newer(version, have) then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], version, 'PX', ARGV[4])
  return 1
end
redis.call('DEL', KEYS[2])
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
