-- Gives redis_exporter the numbers of PM.INFO: `redis_exporter -script pmedis.lua`. docs/operations.md has the rules that give them the names of pmedis-metrics.
local values = {'up', '1'}
for name, value in string.gmatch(redis.call('PM.INFO'), '([%w_]+):([%d.]+)\r?\n') do
    if tonumber(value) then
        values[#values + 1] = name
        values[#values + 1] = value
    end
end
return values
