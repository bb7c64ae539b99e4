-- How much one user may store in agent-assets and agent-backups together. Storage is counted as its rows change, so
-- that every way of writing them is (uploads, signed links, copies, S3, resumable ones), on
-- every platform (docs/adr/0111).

alter table public.quotas add column max_storage bigint not null default 1073741824,
  add column max_files integer not null default 10000,
  add constraint quotas_storage_not_negative check (max_storage >= 0 and max_files >= 0);
comment on column public.quotas.max_storage is 'Bytes that the files of all of a user''s agents may have together.';
comment on column public.quotas.max_files is 'How many files all of a user''s agents may have together.';

-- Sole writer: private.count_files. No foreign key to agents: files of a deleted agent count until they are gone.
create table public.storage_usage (
  agent_id text primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  files integer not null,
  bytes bigint not null,
  constraint storage_usage_not_negative check (files >= 0 and bytes >= 0)
);
alter table public.storage_usage enable row level security;
create index storage_usage_user_id_idx on public.storage_usage (user_id);
grant select on public.storage_usage to authenticated, service_role;
create policy "owners can read what their files take" on public.storage_usage for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.storage_usage is
  'Files of each agent, and their bytes: what counts against max_files and max_storage.';

create type private.file_change as (user_id uuid, agent_id text, files integer, bytes bigint);

-- What an object's coming (sign 1) or going (-1) changes; null where it is no agent's file. Storage asks policies
-- before an upload with the length that the client declared (contentLength), and writes the size when it knows it.
create function private.to_file_change(bucket text, name text, metadata jsonb, sign integer) returns private.file_change
language sql immutable set search_path = ''
return case when bucket in ('agent-assets', 'agent-backups') and strpos(name, '/') > 0 then
  (null, split_part(name, '/', 1), sign,
    sign * greatest(0, coalesce((metadata ->> 'size')::numeric, (metadata ->> 'contentLength')::numeric,
      0)))::private.file_change
end;

-- Counts changes, and refuses those that take a user over the quota: only what makes more is judged, so that who is
-- over it may still delete and shrink. Locks the quota rows of users who store more, so that two uploads are judged one
-- after the other, then the agents' rows of storage_usage. Raises 42501 and not a code of ours: of that alone Storage
-- passes the message on, so the code stands in it.
create function private.count_files(changes private.file_change[]) returns void
language plpgsql volatile set search_path = '' as $$
declare
  net private.file_change[] := array(
    select (o.user_id, c.agent_id, c.files, c.bytes)::private.file_change
    from (select x.agent_id, sum(x.files) as files, sum(x.bytes) as bytes from unnest(changes) x
          where x.agent_id is not null group by 1 having sum(x.files) <> 0 or sum(x.bytes) <> 0) c
    cross join lateral (select coalesce(
      (select a.user_id from public.agents a where a.id = c.agent_id),
      (select u.user_id from public.storage_usage u where u.agent_id = c.agent_id)) as user_id) o
    where o.user_id is not null);
  after record;
begin
  if net = '{}' then
    return;
  end if;
  perform from public.quotas q
    where q.user_id in (select n.user_id from unnest(net) n group by 1 having sum(n.files) > 0 or sum(n.bytes) > 0)
    order by q.user_id for update;
  -- Never below zero: a wrong count must not keep anybody from deleting.
  insert into public.storage_usage as u (agent_id, user_id, files, bytes)
    select n.agent_id, n.user_id, greatest(0, n.files), greatest(0, n.bytes) from unnest(net) n order by n.agent_id
    on conflict (agent_id) do update set
      files = greatest(0, u.files + (select n.files from unnest(net) n where n.agent_id = u.agent_id)),
      bytes = greatest(0, u.bytes + (select n.bytes from unnest(net) n where n.agent_id = u.agent_id));
  delete from public.storage_usage u using unnest(net) n where u.agent_id = n.agent_id and u.files = 0;
  for after in
    select q.max_files, q.max_storage, n.more_files, n.more_bytes, used.files, used.bytes
    from (select x.user_id, sum(x.files) as more_files, sum(x.bytes) as more_bytes from unnest(net) x group by 1) n
    join public.quotas q on q.user_id = n.user_id
    cross join lateral (select sum(u.files) as files, sum(u.bytes) as bytes
                        from public.storage_usage u where u.user_id = n.user_id) used
  loop
    if after.more_files > 0 and after.files > after.max_files then
      raise insufficient_privilege using
        message = format('RESOURCE_LIMIT_EXCEEDED: Quota of %s files exceeded (max_files): this would make %s. '
          || 'Delete files, or ask an operator for a larger quota', after.max_files, after.files),
        detail = jsonb_build_object('quota', 'max_files', 'limit', after.max_files, 'requested', after.files);
    elsif after.more_bytes > 0 and after.bytes > after.max_storage then
      raise insufficient_privilege using
        message = format('RESOURCE_LIMIT_EXCEEDED: Quota of %s of files (max_storage) exceeded by %s. '
          || 'Delete files, or ask an operator for a larger quota', private.size_text(after.max_storage),
          private.size_text(after.bytes - after.max_storage)),
        detail = jsonb_build_object('quota', 'max_storage', 'limit', after.max_storage, 'requested', after.bytes);
    end if;
  end loop;
end
$$;

-- Definer: callers of Storage, and Storage itself, have no rights here. By statement, so that deleting a thousand files
-- counts once.
create function private.tg_objects__count() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  changes private.file_change[];
begin
  if tg_op = 'INSERT' then
    select array_agg(private.to_file_change(o.bucket_id, o.name, o.metadata, 1)) into changes from added o;
  elsif tg_op = 'DELETE' then
    select array_agg(private.to_file_change(o.bucket_id, o.name, o.metadata, -1)) into changes from removed o;
  else
    select array_agg(c) into changes from (
      select private.to_file_change(o.bucket_id, o.name, o.metadata, -1) as c from removed o
      union all select private.to_file_change(o.bucket_id, o.name, o.metadata, 1) from added o) x;
  end if;
  perform private.count_files(changes);
  return null;
end
$$;
create trigger _500_launchpad_count_added after insert on storage.objects
  referencing new table as added for each statement execute function private.tg_objects__count();
create trigger _500_launchpad_count_changed after update on storage.objects
  referencing old table as removed new table as added for each statement execute function private.tg_objects__count();
create trigger _500_launchpad_count_removed after delete on storage.objects
  referencing old table as removed for each statement execute function private.tg_objects__count();

-- Counts everything anew: here, and by an operator after a restore that left the triggers out. Locks Storage's rows
-- against writes until commit.
create function private.recount_files() returns void
language plpgsql volatile set search_path = '' as $$
begin
  lock table storage.objects in share row exclusive mode;
  delete from public.storage_usage where true;
  insert into public.storage_usage (agent_id, user_id, files, bytes)
    select a.id, a.user_id, sum((c).files), sum((c).bytes)
    from (select private.to_file_change(o.bucket_id, o.name, o.metadata, 1) as c from storage.objects o) x
    join public.agents a on a.id = (c).agent_id group by 1, 2;
end
$$;
comment on function private.recount_files() is 'Counts the files of every agent again into storage_usage.';
select private.recount_files();

revoke execute on all functions in schema private from public;
