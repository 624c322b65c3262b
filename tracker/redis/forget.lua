-- Removes sagas that are still where the caller has seen them in the order by end, and returns
-- how many. KEYS[1]: the prefix. ARGV: of each saga its name and that place.
local prefix = KEYS[1]
local count = 0
for at = 1, #ARGV, 2 do
	local saga = prefix .. 'saga:' .. ARGV[at]
	local entries = redis.call('HGET', saga, 'entries')
	if entries and redis.call('ZSCORE', prefix .. 'ended', ARGV[at + 1]) then
		local list = cmsgpack.unpack(entries)
		for i = 1, #list, 2 do
			local key = list[i]
			redis.call('ZREM', prefix .. key, list[i + 1])
			if string.sub(key, 1, 2) == 'x:' and redis.call('EXISTS', prefix .. key) == 0 then
				redis.call('SREM', prefix .. 'values:' .. string.sub(key, 3, 3), string.sub(key, 4))
			end
		end
		redis.call('DEL', saga)
		count = count + 1
	end
end
return count
