insert into task (id, line, kind, payload)
select ('019aa' || lpad(to_hex(nextval('ids')), 27, '0'))::uuid, :client_id, 'bench', :payload::text::bytea
from generate_series(1, :n);
with picked as (
  select seq from task where state = 0 and line = :client_id and due <= now()
  order by due, seq limit :n for update skip locked
), claimed as (
  update task set state = 1, attempt = attempt + 1, epoch = epoch + 1, worker = 'w',
    deadline = now() + interval '1 min'
  from picked where task.seq = picked.seq
  returning task.id, task.epoch, kind, payload
)
select array_agg(id)::text as ids, sum(length(payload)) as bytes, 1 / (count(*) = :n)::int as whole
from claimed \gset
with done as (
  update task set state = 2, finished_at = now(), worker = null, deadline = null
  where id = any(:ids::uuid[]) and epoch = 1 and state = 1
  returning 1
)
select 1 / (count(*) = :n)::int from done;
