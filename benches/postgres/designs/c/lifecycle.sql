with new as (
  insert into task (id, line, kind, payload)
  select ('019aa' || lpad(to_hex(nextval('ids')), 27, '0'))::uuid, :client_id, 'bench', :payload::text::bytea
  from generate_series(1, :n)
  returning line, seq, id
)
insert into ready select line, seq, id from new;
with picked as (
  select line, seq from ready where line = :client_id order by seq limit :n for update skip locked
), gone as (
  delete from ready using picked where ready.line = picked.line and ready.seq = picked.seq
  returning ready.id
), claimed as (
  insert into lease (id, epoch, worker, deadline)
  select id, 1, 'w', now() + interval '1 min' from gone returning id, epoch
)
select array_agg(id)::text as ids, sum(length(payload)) as bytes, 1 / (count(*) = :n)::int as whole
from claimed join task using (id) \gset
with ended as (
  delete from lease where id = any(:ids::uuid[]) and epoch = 1 returning id, epoch
), done as (
  update task set state = 2, finished_at = now(), attempt = 1, epoch = ended.epoch
  from ended where task.id = any(array[ended.id])
  returning 1
)
select 1 / (count(*) = :n)::int from done;
