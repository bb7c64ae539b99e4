-- Files of agents, in Supabase Storage: what an agent is given (agent-assets) and what is kept of it (agent-backups).
-- An object's path begins with its agent's id: `<agentId>/…`. The agent's owner may do
-- everything with it, nobody else anything.

-- An operator's own limits on buckets of these names stay; that they are private does not.
-- Types count with their parameters, so those that clients add by themselves (a string in JavaScript) stand here too.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values
  ('agent-assets', 'agent-assets', false, 52428800, array['text/plain', 'text/markdown', 'text/csv', 'application/json',
    'application/yaml', 'application/pdf', 'application/octet-stream', 'image/png', 'image/jpeg',
      'image/gif', 'image/webp',
    'image/avif', 'audio/mpeg', 'audio/mp4', 'audio/ogg', 'audio/wav', 'audio/webm', 'video/mp4', 'video/webm',
    'text/plain;charset=UTF-8', 'text/markdown;charset=UTF-8', 'text/csv;charset=UTF-8',
    'application/json;charset=UTF-8']),
  ('agent-backups', 'agent-backups', false, 52428800,
    array['application/json', 'application/gzip', 'application/x-gzip',
    'application/x-tar', 'application/zip', 'application/zstd', 'application/octet-stream',
    'application/json;charset=UTF-8', 'text/plain;charset=UTF-8'])
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

revoke execute on all functions in schema private from public;
