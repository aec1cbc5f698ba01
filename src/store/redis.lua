-- All limits of one request: takes from each of them, or from none where one refuses.
--
-- KEYS[1] is the revision of keys and plans; then each limit has its keys, in the order of ARGV.
-- ARGV: "b" interval burst   a token bucket; times in microseconds; one key: when it will be full
--       "q" limit day field expiry   a usage count; limit "" counts without one; two keys: the
--           period's count, and the day's counts by key
-- Answers {index of the refusing limit from 1, or 0; microseconds to wait; used; revision}.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key, at, limit = 2, 1, 0
local used = 0
local writes = {}

while at <= #ARGV do
  limit = limit + 1
  if ARGV[at] == 'b' then
    local interval, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local full = tonumber(redis.call('GET', KEYS[key]) or '0')
    if full < now then full = now end
    full = full + interval
    local wait = full - now - interval * burst
    -- A tenth of a microsecond is what adding such numbers may be wrong by.
    if wait > 0.1 then
      return {limit, math.ceil(wait), used, tonumber(redis.call('GET', KEYS[1]) or '0')}
    end
    writes[#writes + 1] = {'SET', KEYS[key], string.format('%.1f', full), 'PX',
      string.format('%d', math.ceil((full - now) / 1000) + 1)}
    key, at = key + 1, at + 3
  else
    local counts = redis.call('HMGET', KEYS[key], 'used', 'extra')
    used = tonumber(counts[1] or '0')
    if ARGV[at + 1] ~= '' and used >= tonumber(ARGV[at + 1]) + tonumber(counts[2] or '0') then
      return {limit, 0, used, tonumber(redis.call('GET', KEYS[1]) or '0')}
    end
    writes[#writes + 1] = {'HINCRBY', KEYS[key], 'used', 1}
    writes[#writes + 1] = {'EXPIRE', KEYS[key], ARGV[at + 4]}
    writes[#writes + 1] = {'HINCRBY', KEYS[key + 1], ARGV[at + 3], 1}
    writes[#writes + 1] = {'EXPIRE', KEYS[key + 1], ARGV[at + 4]}
    used = used + 1
    key, at = key + 2, at + 5
  end
end

for _, write in ipairs(writes) do
  redis.call(unpack(write))
end
return {0, 0, used, tonumber(redis.call('GET', KEYS[1]) or '0')}
