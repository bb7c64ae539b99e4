-- Bounds on rows: how large each text of a user's row may be, and how many rows and bytes one
-- user may have in each table.
-- Triggers and verbs refuse with a code, the field and a cure before a constraint here does; the constraints hold for
-- every writer, and a test (integration/bounds.test.ts) demands one for each column of text.

-- Adds the constraint <table>_<column>_bounded: at most so many bytes, of the text or of the value as it is stored.
create function private.bound_columns(of_table regclass, bounds jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  name text := (select c.relname from pg_class c where c.oid = of_table);
  field text;
  bytes text;
  kind text;
begin
  for field, bytes in select b.key, b.value from jsonb_each_text(bounds) b loop
    select format_type(a.atttypid, null) into strict kind from pg_attribute a
      where a.attrelid = of_table and a.attname = field and not a.attisdropped;
    execute format('alter table %s add constraint %I check (%s(%I) <= %s)', of_table, name || '_' || field
      || '_bounded',
      case when kind in ('text', 'bytea') then 'octet_length' else 'pg_column_size' end, field, bytes);
  end loop;
end
$$;

-- Characters that triggers allow count up to four bytes here.
select private.bound_columns(t.name::regclass, t.bounds::jsonb) from (values
  ('public.agents',
    '{"name": 400, "description": 8000, "role": 800, "avatar": 8192, "system_prompt": 262144, "settings": 16384,
    "character": 131072, "plugins": 16384, "platforms": 2048, "resources": 1024, "scaling_policy": 1024,
    "supabase_config": 32768, "url": 2048, "idle": 256}'),
  ('public.agent_revisions',
    '{"agent_id": 63, "spec": 1048576, "reason": 200, "created_by": 200, "resolved_plugins": 65536}'),
  ('public.agent_events',
    '{"id": 63, "agent_id": 63, "event_type": 63, "from_phase": 63, "to_phase": 63, "actor": 200, "message": 16384,
    "details": 65536, "request_id": 400}'),
  ('public.agent_secrets', '{"agent_id": 63, "name": 128}'),
  ('public.user_secrets', '{"name": 128}'),
  ('public.agent_conversations', '{"content": 1048576}'),
  ('public.agent_logs',
    '{"id": 63, "agent_id": 63, "message": 65536, "source": 400, "metadata": 65536, "replica": 400}'),
  ('public.agent_metrics', '{"agent_id": 63, "replica": 400}'),
  ('public.agent_metrics_minute', '{"agent_id": 63}'),
  ('public.agent_metrics_hour', '{"agent_id": 63}'),
  ('public.agent_keys', '{"name": 400, "origins": 16384, "prefix": 63, "scopes": 1024}'),
  ('public.budgets', '{"scope": 200}'),
  ('public.agent_tools', '{"configuration": 32768}'),
  ('public.tools',
    '{"name": 256, "description": 4000, "category": 400, "icon": 8192, "input_schema": 32768,
    "implementation": 65536}'),
  ('public.swarms', '{"name": 400, "description": 8000, "reply_mode": 63}'),
  ('public.answer_steps', '{"name": 800, "arguments": 16384, "result": 8192, "error": 8192}'),
  ('public.messages',
    '{"sender_name": 400, "error": 16384, "model": 800, "warnings": 16384, "silence": 2000, "sources": 65536}'),
  ('public.knowledge_files', '{"agent_id": 63, "path": 4096, "error": 2000, "version": 63}'),
  ('public.profiles', '{"notification_preferences": 1024}'),
  ('public.security_events',
    '{"id": 63, "event_type": 63, "agent_id": 400, "message": 2000, "user_agent": 2000, "details": 16384,
    "automated_response": 2048}'),
  ('public.security_scans', '{"id": 63, "agent_id": 63, "findings": 1048576, "results": 262144}'),
  ('public.storage_usage', '{"agent_id": 63}'),
  ('public.usage_daily', '{"agent_id": 63, "model": 800}'),
  ('private.agent_deployments',
    '{"agent_id": 63, "application": 65536, "conditions": 65536, "last_error": 8000, "lease_holder": 400,
    "message": 8000, "reason": 400, "timings": 4096, "url": 2048}'),
  ('private.begun_messages', '{"agent_id": 63}'),
  ('private.idempotency_keys', '{"key": 1020, "request_hash": 64, "response": 1048576}'),
  ('private.model_states', '{"agent_id": 63, "code": 63, "message": 4000}'),
  ('private.platform_leases', '{"agent_id": 63, "replica": 400}'),
  ('private.plugin_states',
    '{"account": 800, "agent_id": 63, "connection": 63, "connection_message": 4000, "message": 4000,
    "platform": 63, "plugin": 214, "reason": 63}'),
  ('private.rate_counters', '{"bucket": 63}'),
  ('private.reply_jobs', '{"last_error": 4000, "lease_holder": 400, "sources": 65536}'),
  ('private.reservations', '{"agent_id": 63, "model": 800, "source": 63}'),
  ('private.suspended_agents', '{"agent_id": 63}')
) as t (name, bounds);

-- user_metadata, in Auth's own table, where tokens carry it. Definer: Auth's role has no rights here. Raises
-- VALIDATION_ERROR, which Auth passes on as an error of the database. What is there already may shrink.
create function private.tg_users__bound_metadata() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if octet_length(new.raw_user_meta_data::text) > 16384
     and (tg_op = 'INSERT' or octet_length(new.raw_user_meta_data::text) > octet_length(old.raw_user_meta_data::text))
       then
    perform private.raise_problems(
      '{"user_metadata": "Must be at most 16 KiB of JSON; store larger data in a table or a file"}');
  end if;
  return new;
end
$$;
create trigger _200_launchpad_bound_metadata before insert or update of raw_user_meta_data on auth.users
  for each row execute function private.tg_users__bound_metadata();

-- How many rows, and bytes of rows as text, one user may have. Operators change a line with an UPDATE; it counts from
-- the next statement. Agents have their own quota (quotas.max_agents), files too (max_files, max_storage).
create table public.row_quotas (
  relation text primary key,
  max_rows bigint not null,
  max_bytes bigint not null,
  constraint row_quotas_not_negative check (max_rows >= 0 and max_bytes >= 0)
);
alter table public.row_quotas enable row level security;
grant select on public.row_quotas to authenticated;
grant select, insert, update, delete on public.row_quotas to service_role;
create policy "users can read the quotas of rows" on public.row_quotas for select to authenticated using (true);
comment on table public.row_quotas is 'How many rows and bytes one user may have in each table.';

insert into public.row_quotas (relation, max_rows, max_bytes) values
  ('agent_conversations', 400000, 536870912),
  ('agent_keys', 2000, 4194304),
  ('agent_secrets', 2000, 1048576),
  ('agent_tools', 2500, 8388608),
  ('answer_steps', 200000, 268435456),
  ('budgets', 500, 1048576),
  ('idempotency_keys', 20000, 67108864),
  ('messages', 200000, 536870912),
  ('swarm_agents', 4000, 1048576),
  ('swarms', 200, 2097152),
  ('tools', 500, 8388608),
  ('user_secrets', 100, 65536);

-- What each user has, kept as rows come and go. Sole writer: private.count_rows.
create table private.row_counts (
  user_id uuid not null references auth.users (id) on delete cascade,
  relation text not null,
  rows bigint not null,
  bytes bigint not null,
  constraint row_counts_pkey primary key (user_id, relation),
  constraint row_counts_not_negative check (rows >= 0 and bytes >= 0),
  constraint row_counts_relation_bounded check (octet_length(relation) <= 63)
);
alter table private.row_counts enable row level security;
comment on table private.row_counts is 'Rows and bytes of each user by table: what counts against row_quotas.';

-- Counts a change, and refuses one by its user that makes more than the quota: deleting and shrinking stay possible,
-- and what the platform writes for a user (an answer) is counted, not refused. Locks the user's line until commit, so
-- that two statements cannot both be the last. Raises RESOURCE_LIMIT_EXCEEDED.
create function private.count_rows(of_user uuid, of_relation text, more_rows bigint, more_bytes bigint) returns void
language plpgsql volatile set search_path = '' as $$
declare
  quota public.row_quotas;
  after private.row_counts;
begin
  if more_rows = 0 and more_bytes = 0 then
    return;
  end if;
  insert into private.row_counts as c (user_id, relation, rows, bytes)
    select u.id, of_relation, greatest(0, more_rows), greatest(0, more_bytes) from auth.users u where u.id = of_user
    on conflict on constraint row_counts_pkey do update
      set rows = greatest(0, c.rows + more_rows), bytes = greatest(0, c.bytes + more_bytes)
    returning * into after;
  if after is null or (more_rows <= 0 and more_bytes <= 0) or of_user is distinct from auth.uid() then
    return;
  end if;
  select * into quota from public.row_quotas q where q.relation = of_relation;
  if more_rows > 0 and after.rows > quota.max_rows then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED',
      format('Quota of %s rows of %s exceeded: this would make %s. '
        || 'Delete some, or ask an operator for a larger quota', quota.max_rows, of_relation, after.rows),
      jsonb_build_object('quota', of_relation || '.max_rows', 'limit', quota.max_rows, 'requested', after.rows));
  elsif more_bytes > 0 and after.bytes > quota.max_bytes then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', format('Quota of %s of %s exceeded by %s. '
        || 'Delete some, or ask an operator for a larger quota', private.size_text(quota.max_bytes), of_relation,
        private.size_text(after.bytes - quota.max_bytes)),
      jsonb_build_object('quota', of_relation || '.max_bytes', 'limit', quota.max_bytes, 'requested', after.bytes));
  end if;
end
$$;
comment on function private.count_rows(uuid, text, bigint, bigint) is
  'Counts rows of a user; refuses more than the quota.';

-- By statement, so that many rows count once. Definer: whoever writes has no rights on the counts.
create function private.tg_rows__count() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  change record;
begin
  if tg_op = 'INSERT' then
    for change in select a.user_id, count(*) as rows, sum(octet_length(a::text)) as bytes from added a group by 1
      order by 1 loop
      perform private.count_rows(change.user_id, tg_table_name, change.rows, change.bytes);
    end loop;
  elsif tg_op = 'DELETE' then
    for change in select r.user_id, count(*) as rows, sum(octet_length(r::text)) as bytes from removed r group by 1
      order by 1 loop
      perform private.count_rows(change.user_id, tg_table_name, -change.rows, -change.bytes);
    end loop;
  else
    for change in
      select x.user_id, sum(x.bytes) as bytes from (
        select a.user_id, octet_length(a::text) as bytes from added a
        union all select r.user_id, -octet_length(r::text) from removed r) x
      group by 1 order by 1
    loop
      perform private.count_rows(change.user_id, tg_table_name, 0, change.bytes::bigint);
    end loop;
  end if;
  return null;
end
$$;

-- Counts everything anew: here, and by an operator after a restore that left the triggers out.
create function private.recount_rows() returns void
language plpgsql volatile set search_path = '' as $$
declare
  wanted record;
begin
  delete from private.row_counts where true;
  for wanted in
    select q.relation, n.nspname from public.row_quotas q join pg_class c on c.relname = q.relation
    join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'private')
  loop
    execute format('lock table %I.%I in share row exclusive mode', wanted.nspname, wanted.relation);
    execute format('insert into private.row_counts (user_id, relation, rows, bytes)
      select t.user_id, %L, count(*), sum(octet_length(t::text)) from %I.%I t where t.user_id is not null group by 1',
      wanted.relation, wanted.nspname, wanted.relation);
  end loop;
end
$$;
comment on function private.recount_rows() is 'Counts the rows of every user again into row_counts.';

do $$
declare
  wanted record;
begin
  for wanted in
    select q.relation, n.nspname from public.row_quotas q join pg_class c on c.relname = q.relation
    join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'private')
  loop
    execute format('create trigger _950_count_added after insert on %I.%I referencing new table as added
      for each statement execute function private.tg_rows__count()', wanted.nspname, wanted.relation);
    execute format(
      'create trigger _950_count_changed after update on %I.%I referencing old table as removed new table as added
      for each statement execute function private.tg_rows__count()', wanted.nspname, wanted.relation);
    execute format('create trigger _950_count_removed after delete on %I.%I referencing old table as removed
      for each statement execute function private.tg_rows__count()', wanted.nspname, wanted.relation);
  end loop;
end
$$;
select private.recount_rows();

revoke execute on all functions in schema private from public;
