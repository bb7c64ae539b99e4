-- Files of agents, in Supabase Storage: what an agent is given (agent-assets) and what is kept of it (agent-backups).
-- An object's path begins with its agent's id: `<agentId>/…`. The agent's owner may do
-- everything with it, nobody else anything.

-- An operator's own limits on buckets of these names stay; that they are private does not.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values
  ('agent-assets', 'agent-assets', false, 52428800, array['text/plain', 'text/markdown', 'text/csv', 'application/json',
    'application/yaml', 'application/pdf', 'application/octet-stream', 'image/png', 'image/jpeg',
      'image/gif', 'image/webp',
    'image/avif', 'audio/mpeg', 'audio/mp4', 'audio/ogg', 'audio/wav', 'audio/webm', 'video/mp4', 'video/webm']),
  ('agent-backups', 'agent-backups', false, 52428800,
    array['application/json', 'application/gzip', 'application/x-gzip',
    'application/x-tar', 'application/zip', 'application/zstd', 'application/octet-stream'])
  on conflict (id) do update set public = false;

-- The caller's agents, where they hold `permission`. Called by the policies below. Invoker: the agents are looked up
-- under their own row-level security. An agent that is being deleted has no files any more.
create function private.agents_with_files(permission text) returns setof text
language sql stable set search_path = '' as $$
  select a.id from public.agents a where a.user_id = (select private.reader(permission)) and a.deleted_at is null
$$;
revoke execute on function private.agents_with_files(text) from public;
grant execute on function private.agents_with_files(text) to authenticated;
comment on function private.agents_with_files(text) is
  'Ids of the agents whose files the caller may read (agents:read) or write (agents:write).';

create policy "owners can read their agents' files" on storage.objects for select to authenticated
  using (bucket_id in ('agent-assets', 'agent-backups')
    and (storage.foldername(name))[1] in (select private.agents_with_files('agents:read')));
create policy "owners can add files of their agents" on storage.objects for insert to authenticated
  with check (bucket_id in ('agent-assets', 'agent-backups')
    and (storage.foldername(name))[1] in (select private.agents_with_files('agents:write')));
create policy "owners can replace their agents' files" on storage.objects for update to authenticated
  using (bucket_id in ('agent-assets', 'agent-backups')
    and (storage.foldername(name))[1] in (select private.agents_with_files('agents:write')))
  with check (bucket_id in ('agent-assets', 'agent-backups')
    and (storage.foldername(name))[1] in (select private.agents_with_files('agents:write')));
create policy "owners can delete their agents' files" on storage.objects for delete to authenticated
  using (bucket_id in ('agent-assets', 'agent-backups')
    and (storage.foldername(name))[1] in (select private.agents_with_files('agents:write')));

-- Agents that are gone and whose files still have to go. Only the Storage API can delete the bytes, so a controller
-- works this list off (docs/adr/0105). What remains is seen in storage.objects each time:
-- losing an answer loses no file.
create table private.file_removals (
  agent_id text primary key,
  requested_at timestamptz not null default now(),
  next_attempt_at timestamptz not null default now(),
  attempts integer not null default 0,
  last_error text
);
alter table private.file_removals enable row level security;
create index file_removals_next_attempt_at_idx on private.file_removals (next_attempt_at);
comment on table private.file_removals is 'Deleted agents whose files are to be removed through the Storage API.';

-- How long an upload link that was signed before the deletion still works.
create function private.upload_link_life() returns interval
language sql immutable set search_path = ''
return interval '2 hours 10 minutes';

-- Has the files of a deleted agent removed. Definer: whoever deletes an agent has no rights on private tables.
create function private.tg_agents__remove_files() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.file_removals (agent_id) values (old.id) on conflict do nothing;
  return null;
end
$$;
create trigger _510_remove_files after delete on public.agents
  for each row execute function private.tg_agents__remove_files();
create trigger _520_remove_files after update of deleted_at on public.agents
  for each row when (new.deleted_at is not null and old.deleted_at is null)
    execute function private.tg_agents__remove_files();

-- Names of an agent's objects, by bucket. The text_pattern_ops operators walk Storage's own
-- index on names; '0' follows '/'.
create function private.agent_files(of_agent text, most integer) returns table (bucket text, name text, metadata jsonb,
  updated_at timestamptz)
language sql stable set search_path = '' as $$
  select o.bucket_id, o.name, o.metadata, o.updated_at from storage.objects o
  where o.bucket_id in ('agent-assets', 'agent-backups')
    and o.name operator(pg_catalog.~>=~) (of_agent || '/') and o.name operator(pg_catalog.~<~) (of_agent || '0')
  order by o.bucket_id, o.name limit most
$$;

-- Takes up to max_count agents whose files are due, each for half a minute and longer after each failure:
-- [{agentId, files: [{bucket, names}]}], at most 1000 names each. None while operators hold removals; never those of an
-- agent that exists, as after a restored backup. Definer: as above. Locks the rows taken (skip locked).
create function private.claim_file_removals(max_count integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  taken text[];
begin
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 100, true), 'max_count',
    'Must be between 1 and 100'));
  with due as (
    select r.agent_id from private.file_removals r where r.next_attempt_at <= now()
      and not exists (select from private.fleet f where f.hold is not null)
      and not exists (select from public.agents a where a.id = r.agent_id and a.deleted_at is null)
    order by r.next_attempt_at limit max_count for update skip locked
  ), claimed as (
    update private.file_removals r set attempts = r.attempts + 1,
      next_attempt_at = now() + interval '30 seconds' * 2 ^ least(r.attempts, 7)
    from due where r.agent_id = due.agent_id returning r.agent_id
  )
  select coalesce(array_agg(c.agent_id), '{}') into taken from claimed c;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('agentId', t.agent_id, 'files', (
      select coalesce(jsonb_agg(jsonb_build_object('bucket', f.bucket, 'names', f.names) order by f.bucket), '[]')
      from (select x.bucket, jsonb_agg(x.name order by x.name) as names from private.agent_files(t.agent_id, 1000) x
        group by x.bucket) f))), '[]')
    from unnest(taken) as t (agent_id));
end
$$;

-- What became of a claimed removal. error: why it failed; it is tried again later. Else: files that are left are due at
-- once, and when none are left a last look follows after the signed upload links have run out. Definer: as above.
create function private.report_file_removal(of_agent text, error text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  remaining boolean := exists (select from private.agent_files(of_agent, 1));
begin
  if error is not null then
    update private.file_removals r set last_error = left(error, 1000) where r.agent_id = of_agent;
  elsif remaining then
    update private.file_removals r set next_attempt_at = now(), attempts = 0 where r.agent_id = of_agent;
  else
    delete from private.file_removals r
      where r.agent_id = of_agent and r.requested_at < now() - private.upload_link_life();
    update private.file_removals r set next_attempt_at = r.requested_at + private.upload_link_life(), attempts = 0,
      last_error = null
      where r.agent_id = of_agent;
  end if;
  return jsonb_build_object('remaining', remaining);
end
$$;
grant execute on function private.claim_file_removals(integer), private.report_file_removal(text, text) to service_role;

create function public.claim_file_removals(max_count integer default 20) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.claim_file_removals(max_count); end $$;
create function public.report_file_removal(agent_id text, error text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.report_file_removal(agent_id, error); end $$;
revoke execute on function public.claim_file_removals(integer), public.report_file_removal(text, text)
  from public, anon, authenticated;
grant execute on function public.claim_file_removals(integer), public.report_file_removal(text, text) to service_role;
comment on function public.claim_file_removals(integer) is
  'Controller: claims deleted agents whose files are to be removed.';
comment on function public.report_file_removal(text, text) is 'Controller: what became of a removal of files.';

revoke execute on all functions in schema private from public;
