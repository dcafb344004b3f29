-- Which Redis this is: asked before every verb that changes something.
--
-- A Redis that was started anew, a replica that was promoted and a copy that was put in its place
-- have another replication id. They may have missed deliveries that were handed out: so the
-- generation rises before anything else is done, and no epoch comes twice. `met` keeps what had
-- survived by then; servers compare it with what they were told.

do
  local replid = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
  if replid ~= meta[12] then
    beyond_memory()
    store.raise_generation()
    store.met = pack({ generation, store.accepted, grants, store.finished })
    call('HSET', META, 'replid', replid, 'met', store.met)
    -- Another process counts otherwise.
    if store.heal ~= '' then
      store.heal = '0'
      call('HSET', META, 'heal', '0')
    end
  end
end
