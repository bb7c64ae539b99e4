-- Knowledge of agents: texts that an answer may draw on. Files under `<agentId>/knowledge/` of the bucket agent-assets,
-- and `character.knowledge` where it is too long for the instructions. This file: what is to be indexed and what became
-- of it, kept equal to Storage's rows and the characters by triggers. …_knowledge_index.sql fills the index,
-- …_knowledge_search.sql reads it.

alter table public.quotas add column max_knowledge_bytes bigint not null default 16777216,
  add column max_knowledge_chunks integer not null default 20000,
  add constraint quotas_knowledge_not_negative check (max_knowledge_bytes >= 0 and max_knowledge_chunks >= 0);
comment on column public.quotas.max_knowledge_bytes is
  'Bytes of text that the knowledge of all of a user''s agents may have together.';
comment on column public.quotas.max_knowledge_chunks is
  'Chunks that the knowledge of all of a user''s agents may have together.';

-- Bounds of knowledge; what an answer gets of it is private.answering_limit.
create function private.knowledge_limit(name text) returns integer
language sql immutable parallel safe set search_path = ''
return case name
  -- A larger file is refused unread.
  when 'file_bytes' then 10485760
  when 'attempts' then 5
  -- How long after its question an answer waits for files that changed before.
  when 'wait_seconds' then 20
end;

-- One text of an agent. Sole writers: private.sync_knowledge and the functions of …_knowledge_index.sql.
create table public.knowledge_files (
  id uuid primary key default gen_random_uuid(),
  agent_id text not null references public.agents (id) on delete cascade,
  user_id uuid not null,
  -- knowledge/… in the agent's folder, or character.knowledge.
  path text not null,
  status text not null default 'pending',
  -- Why it is refused, with the cure.
  error text,
  chunks integer not null default 0,
  -- Of the text that is indexed; a PDF has more bytes than its text.
  bytes bigint not null default 0,
  -- Changes with the content.
  version text not null,
  updated_at timestamptz not null default now(),
  indexed_at timestamptz,
  constraint knowledge_files_agent_id_path_key unique (agent_id, path),
  constraint knowledge_files_status_known check (status in ('pending', 'indexed', 'refused')),
  constraint knowledge_files_error_of_refused check ((status = 'refused') = (error is not null))
);
alter table public.knowledge_files enable row level security;
create index knowledge_files_user_id_idx on public.knowledge_files (user_id, updated_at desc);
grant select on public.knowledge_files to authenticated, service_role;
create policy "owners can read their agents' knowledge files" on public.knowledge_files for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.knowledge_files is 'Files an agent answers from: which are indexed, and why one is not.';
alter publication supabase_realtime add table public.knowledge_files;

-- What is to be read, and who is at work on it: there while a file is pending. A change of the file makes a new one, so
-- that whoever reads the old content cannot report it.
create table private.knowledge_jobs (
  file_id uuid primary key references public.knowledge_files (id) on delete cascade,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  lease_expires_at timestamptz
);
alter table private.knowledge_jobs enable row level security;
create index knowledge_jobs_next_attempt_at_idx on private.knowledge_jobs (next_attempt_at);
comment on table private.knowledge_jobs is 'Knowledge files that are to be indexed, and until when a worker has each.';

-- Pieces of texts. `words` are keys of the agent's words (private.word_keys), so that one index serves all agents and a
-- search reads the lists of its own agent alone.
create table private.knowledge_chunks (
  file_id uuid not null references public.knowledge_files (id) on delete cascade,
  place integer not null,
  heading text,
  content text not null,
  words bigint[] not null,
  constraint knowledge_chunks_pkey primary key (file_id, place),
  constraint knowledge_chunks_content_bounded check (octet_length(content) <= 4000),
  constraint knowledge_chunks_heading_bounded check (octet_length(heading) <= 800)
);
alter table private.knowledge_chunks enable row level security;
-- Without a pending list: a search would read it whole.
create index knowledge_chunks_words_idx on private.knowledge_chunks using gin (words) with (fastupdate = off);
comment on table private.knowledge_chunks is
  'Pieces of the texts that agents answer from, with the keys of their words.';

-- The path below the agent's folder, where an object is a knowledge file; else null.
create function private.knowledge_path(bucket text, name text) returns text
language sql immutable set search_path = ''
return case when bucket = 'agent-assets' and name ~ '^[^/]+/knowledge/.*[^/]$' and name !~ '/\.emptyFolderPlaceholder$'
  then substr(name, strpos(name, '/') + 1) end;

-- Queues one signed POST to the function `knowledge`: a hint, as the one to `respond` is.
create function private.post_to_knowledge() returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.post_signed('launchpad_functions_url', 'launchpad_respond_secret', '/knowledge',
    '{"reason": "knowledge"}');
end
$$;

-- Makes knowledge_files what the given texts of agents are now; a text whose version is known stays as it is. What
-- changed is forgotten at once: no answer is given from a text that was replaced. texts: (agent_id, path, version),
-- version null where the text is gone. Calls the function `knowledge` when something is to be read.
create function private.sync_knowledge(texts jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  queued integer;
begin
  with given as (
    select t ->> 'agent_id' as agent_id, t ->> 'path' as path, t ->> 'version' as version
      from jsonb_array_elements(texts) t
  ), gone as (
    select f.id from given g join public.knowledge_files f on f.agent_id = g.agent_id and f.path = g.path
    where g.version is distinct from f.version order by f.id for update of f
  )
  delete from public.knowledge_files f where f.id in (select id from gone);
  with given as (
    select t ->> 'agent_id' as agent_id, t ->> 'path' as path, t ->> 'version' as version
      from jsonb_array_elements(texts) t
  ), made as (
    insert into public.knowledge_files (agent_id, user_id, path, version)
      select g.agent_id, a.user_id, g.path, g.version from given g
      join public.agents a on a.id = g.agent_id and a.deleted_at is null
      where g.version is not null order by g.agent_id, g.path
      on conflict on constraint knowledge_files_agent_id_path_key do nothing
      returning id
  )
  insert into private.knowledge_jobs (file_id) select m.id from made m;
  get diagnostics queued = row_count;
  if queued > 0 then
    perform private.post_to_knowledge();
  end if;
end
$$;

-- The texts of Storage's objects as private.sync_knowledge takes them. Storage writes the size
-- when the bytes are there.
create function private.knowledge_texts(names text[]) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('agent_id', split_part(n.name, '/', 1),
    'path', private.knowledge_path('agent-assets', n.name), 'version', (
      select md5(concat_ws(' ', o.id, o.version, o.metadata ->> 'eTag', o.metadata ->> 'size',
        o.metadata ->> 'mimetype',
        o.metadata ->> 'lastModified'))
      from storage.objects o where o.bucket_id = 'agent-assets' and o.name = n.name and o.metadata ? 'size'))), '[]')
  from (select distinct x from unnest(names) x where private.knowledge_path('agent-assets', x) is not null) n (name)
$$;

-- Definer: Storage and its callers have no rights here. By statement, so that a thousand files are one call.
create function private.tg_objects__know() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  names text[];
begin
  if tg_op = 'INSERT' then
    select array_agg(o.name) into names from added o where private.knowledge_path(o.bucket_id, o.name) is not null;
  elsif tg_op = 'DELETE' then
    select array_agg(o.name) into names from removed o where private.knowledge_path(o.bucket_id, o.name) is not null;
  else
    select array_agg(o.name) into names from (
      select bucket_id, name from added union select bucket_id, name from removed) o
    where private.knowledge_path(o.bucket_id, o.name) is not null;
  end if;
  if names is not null then
    perform private.sync_knowledge(private.knowledge_texts(names));
  end if;
  return null;
end
$$;
create trigger _510_launchpad_know_added after insert on storage.objects
  referencing new table as added for each statement execute function private.tg_objects__know();
create trigger _510_launchpad_know_changed after update on storage.objects
  referencing old table as removed new table as added for each statement execute function private.tg_objects__know();
create trigger _510_launchpad_know_removed after delete on storage.objects
  referencing old table as removed for each statement execute function private.tg_objects__know();

-- Keeps the index in line with the agent's knowledge. A deleted agent's row stays for a while, its knowledge does not.
-- Definer: who writes an agent has no rights here.
create function private.tg_agents__know() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.deleted_at is not null then
    delete from public.knowledge_files f where f.agent_id = new.id;
  else
    perform private.sync_knowledge(jsonb_build_array(jsonb_build_object('agent_id', new.id,
      'path', 'character.knowledge',
      'version', case when private.is_knowledge_indexed(new."character")
        then md5((new."character" -> 'knowledge')::text) end)));
  end if;
  return null;
end
$$;
create trigger _530_know_inserted after insert on public.agents
  for each row when (new."character" ? 'knowledge') execute function private.tg_agents__know();
create trigger _530_know_changed after update of "character", deleted_at on public.agents
  for each row when (new."character" is distinct from old."character" or new.deleted_at is distinct from old.deleted_at)
  execute function private.tg_agents__know();

-- Compares everything with Storage's rows and the characters: here, by an operator after a restore that left triggers
-- out, and daily.
create function private.resync_knowledge() returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.sync_knowledge(private.knowledge_texts(array(
    select o.name from storage.objects o where private.knowledge_path(o.bucket_id, o.name) is not null
    union select f.agent_id || '/' || f.path from public.knowledge_files f where f.path like 'knowledge/%')));
  perform private.sync_knowledge((
    select coalesce(jsonb_agg(jsonb_build_object('agent_id', a.id, 'path', 'character.knowledge', 'version',
      case when private.is_knowledge_indexed(a."character") then md5((a."character" -> 'knowledge')::text) end)), '[]')
    from public.agents a where a.deleted_at is null and (private.is_knowledge_indexed(a."character")
      or exists (select from public.knowledge_files f where f.agent_id = a.id and f.path = 'character.knowledge'))));
end
$$;
comment on function private.resync_knowledge() is 'Makes knowledge_files equal to the files and characters that exist.';
select cron.schedule('launchpad-knowledge-resync', '41 3 * * *', 'select private.resync_knowledge()');

revoke execute on all functions in schema private from public;
