-- What time it is, for whoever keeps it. Answer: {clock, wall, slip, certain, when the first lease
-- runs out or -1, whether leases are being renewed}. Changes nothing.

return pack({ store.clock, tonumber(meta[6]), tonumber(meta[8]), store.certain,
  first_score(LEASE) or -1, store.heal ~= '' })
