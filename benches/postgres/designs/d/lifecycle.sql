with new as (
  insert into task (id, line, kind, payload)
  select ('019aa' || lpad(to_hex(nextval('ids')), 27, '0'))::uuid, :client_id, 'bench', :payload::text::bytea
  from generate_series(1, :n)
  returning 1
)
insert into tally select :client_id, 0, count(*) from new;
begin;
select pg_advisory_xact_lock(:client_id);
with picked as (
  select task.* from task
  where line = :client_id and seq > :frontier and state = 0
    and (select true from lease where lease.id = task.id) is null
  order by line, seq limit :n
), claimed as (
  insert into lease (id, epoch, worker, deadline)
  select id, epoch + 1, 'w', now() + interval '1 min' from picked
)
select array_agg(id)::text as ids, max(seq) as frontier, sum(length(payload)) as bytes,
  1 / (count(*) = :n)::int as whole
from picked \gset
end;
with ended as (
  delete from lease where id = any(:ids::uuid[]) and epoch = 1 returning id, epoch
), done as (
  update task set state = 2, finished_at = now(), attempt = attempt + 1, epoch = ended.epoch
  from ended where task.id = any(array[ended.id])
  returning 1
), told as (
  insert into tally select :client_id, 2, count(*) from done
)
select 1 / (count(*) = :n)::int from done;
