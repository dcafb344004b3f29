-- Which commands and channels the user may not use, of those that everything else needs. Arguments:
-- a channel. Answer: what it lacks, as ACL SETUSER grants it. Changes nothing.
--
-- Before Redis 7 nobody can be asked: then a verb says what it lacks.

if not redis.acl_check_cmd then return {} end
local key, channel, lacks = KEYS[1], ARGV[1], {}
local needed = {
  { 'TIME' }, { 'INFO' }, { 'EXISTS', key }, { 'DEL', key },
  { 'HGET', key, '' }, { 'HSET', key, '', '' }, { 'HDEL', key, '' }, { 'HLEN', key },
  { 'HKEYS', key }, { 'HVALS', key }, { 'HEXISTS', key, '' },
  { 'HMGET', key, '' }, { 'HGETALL', key }, { 'HSCAN', key, 0 },
  { 'HINCRBY', key, '', 1 }, { 'ZADD', key, 1, '' }, { 'ZREM', key, '' }, { 'ZCARD', key },
  { 'ZRANGE', key, 0, 0 }, { 'ZSCORE', key, '' }, { 'ZSCAN', key, 0 }, { 'ZMSCORE', key, '' },
  { 'ZRANGEBYLEX', key, '-', '+' }, { 'ZREVRANGEBYLEX', key, '+', '-' },
  { 'ZRANGEBYSCORE', key, 0, 0 }, { 'ZREMRANGEBYSCORE', key, 0, 0 },
  { 'ZREMRANGEBYRANK', key, 0, 0 }, { 'PUBLISH', channel, '' }, { 'SUBSCRIBE', channel },
}
for _, command in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(command)) then
    lacks[#lacks + 1] = '+' .. string.lower(command[1])
  end
end
return lacks
