-- Stores snapshots and positions: all of them at once, since nothing runs beside a script.
-- KEYS[1]: the prefix. ARGV: '1' to enter sagas anew that are there already, of the same offset, as
-- the upgrade does, else '0'; the number of snapshots; of each its name, offset (digits that compare
-- as text), JSON, number of index entries, and of each entry key and member; then the number of
-- positions; of each its key, partition and offset.
local prefix = KEYS[1]
local anew = ARGV[1] == '1'
local format = redis.call('GET', prefix .. 'format')
if not format then
	redis.call('SET', prefix .. 'format', '2')
elseif format == '1' or format == '1 to 2' then
	if not anew then
		redis.call('SET', prefix .. 'format', '1 to 2')
		return 'upgrade'
	end
elseif format ~= '2' then
	return redis.error_reply('CHOREOFORMAT the data have format ' .. format .. ', this build knows 2')
end

-- unknown reports whether the definition of a snapshot is unknown. The JSON has a quote in a text
-- as \", so that only the field itself is found.
local function unknown(snapshot)
	return string.find(snapshot, '"definition_unknown":true', 1, true) ~= nil
end

local function replaces(saga, offset, snapshot, old)
	if not old then
		return not anew
	elseif anew then
		return offset == old
	end
	return offset > old or not unknown(snapshot) and unknown(redis.call('HGET', saga, 'snapshot'))
end

local at = 2
local function take()
	at = at + 1
	return ARGV[at - 1]
end

for _ = 1, tonumber(take()) do
	local name, offset, snapshot, n = take(), take(), take(), tonumber(take())
	local entries, fresh = {}, {}
	for i = 1, n do
		local key, member = take(), take()
		entries[2 * i - 1], entries[2 * i] = key, member
		fresh[key .. '\254' .. member] = true
	end
	local saga = prefix .. 'saga:' .. name
	local old = redis.call('HMGET', saga, 'offset', 'entries')
	if replaces(saga, offset, snapshot, old[1]) then
		local had = {}
		if old[2] then
			local list = cmsgpack.unpack(old[2])
			for i = 1, #list, 2 do
				local key, member = list[i], list[i + 1]
				had[key .. '\254' .. member] = true
				if not fresh[key .. '\254' .. member] then
					redis.call('ZREM', prefix .. key, member)
					if string.sub(key, 1, 2) == 'x:' and redis.call('EXISTS', prefix .. key) == 0 then
						redis.call('SREM', prefix .. 'values:' .. string.sub(key, 3, 3), string.sub(key, 4))
					end
				end
			end
		end
		for i = 1, #entries, 2 do
			local key, member = entries[i], entries[i + 1]
			if not had[key .. '\254' .. member] then
				redis.call('ZADD', prefix .. key, 0, member)
				if string.sub(key, 1, 2) == 'x:' then
					redis.call('SADD', prefix .. 'values:' .. string.sub(key, 3, 3), string.sub(key, 4))
				end
			end
		end
		redis.call('HSET', saga, 'offset', offset, 'snapshot', snapshot, 'entries', cmsgpack.pack(entries))
	end
end

for _ = 1, tonumber(take()) do
	local key, partition, offset = prefix .. take(), take(), take()
	local old = redis.call('HGET', key, partition)
	if not old or offset > old then
		redis.call('HSET', key, partition, offset)
	end
end
return 'put'
