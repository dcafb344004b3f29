-- A server closes the store in good order.

return redis.call('HDEL', KEYS[20], ARGV[1])
