-- How an account goes (GDPR article 17): everything that can hold words, addresses or figures of a user is removed, and
-- of the audit remains what happened, when, and ids. docs/privacy.md lists what stays; tests/hostile/erasure.test.ts
-- plants a word in every place that a user can reach and searches for it.

-- Accounts that are gone, until nothing can write of them any more: replicas that are being stopped still ship lines,
-- and a gateway its counts. A look at each stored row would tax all of them, so a job removes these few.
create table private.erased_accounts (
  user_id uuid primary key,
  erased_at timestamptz not null default now()
);
alter table private.erased_accounts enable row level security;
comment on table private.erased_accounts is 'Deleted accounts of which late rows are still to be removed.';

create function private.is_erased(of_user uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (select from private.erased_accounts e where e.user_id = of_user);
end
$$;
comment on function private.is_erased(uuid) is
  'Whether an account is erased, for the time in which late rows may come.';

-- The audit of an erased account: kind, time, ids and figures of the platform. Words, addresses and names are gone,
-- since every one of them may be the user's: messages repeat reasons, details name secrets and
-- fields, a request id is the caller's.
create function private.blanked(e public.agent_events) returns public.agent_events
language plpgsql stable set search_path = '' as $$
begin
  e.message := 'Erased with the account';
  e.details := '{}';
  e.request_id := null;
  return e;
end
$$;
-- agent_id is what a request named: it stays where an agent of the user had that id.
create function private.blanked(e public.security_events) returns public.security_events
language plpgsql stable set search_path = '' as $$
begin
  e.message := 'Erased with the account';
  e.details := jsonb_strip_nulls(jsonb_build_object('count', e.details -> 'count'));
  e.ip_address := null;
  e.user_agent := null;
  if not exists (select from public.agent_events x where x.agent_id = e.agent_id and x.user_id = e.user_id) then
    e.agent_id := null;
  end if;
  return e;
end
$$;

-- What is written of an account after its erasure is blank from the start. Definer: whoever
-- causes an event has no rights here.
create function private.tg_events__blank() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.is_erased(new.user_id) then
    new := private.blanked(new);
  end if;
  return new;
end
$$;
create trigger _050_blank before insert on public.agent_events for each row execute function private.tg_events__blank();
create trigger _050_blank before insert on public.security_events
  for each row execute function private.tg_events__blank();

-- The same for what controllers go on reporting of replicas that they stop. Definer: as above.
create function private.tg_agent_deployments__blank() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.is_erased(new.user_id) then
    new.reason := null;
    new.message := null;
    new.last_error := null;
    new.platform_problem := null;
    new.application := null;
    new.conditions := '[]';
  end if;
  return new;
end
$$;
create trigger _100_blank before update on private.agent_deployments
  for each row when (new.desired = 'absent') execute function private.tg_agent_deployments__blank();

-- Tables with rows of users, from the catalogue, so that a table added later is not forgotten.
create function private.tables_of_users(schema text) returns setof text
language sql stable set search_path = '' as $$
  select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = schema and c.relkind in ('r', 'p')
    and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped)
  order by 1
$$;

-- The private topics of a user. Swarms are named while they are there.
create function private.topics_of(of_user uuid) returns text[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select 'user:' || of_user
    union select 'agent:' || x.id from (
      select a.id from public.agents a where a.user_id = of_user
      union select d.agent_id from private.agent_deployments d where d.user_id = of_user
      union select e.agent_id from public.agent_events e where e.user_id = of_user) x
    union select 'swarm:' || s.id from public.swarms s where s.user_id = of_user);
end
$$;

-- Rows of the platform's own tables. On a project where `postgres` may not write one of them, Auth or Realtime keeps it
-- for the time of its own, as docs/privacy.md says.
create function private.erase_platform_rows(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  wanted text;
begin
  for wanted in select t from private.tables_of_users('auth') t loop
    begin
      -- Auth keeps some ids as text.
      execute format('delete from auth.%I t where t.user_id::text = $1', wanted) using of_user::text;
    exception when insufficient_privilege then
      raise warning 'launchpad: auth.% is left to Auth', wanted;
    end;
  end loop;
  begin
    -- Auth's audit names the address of who acted and of who was acted on.
    update auth.audit_log_entries l set ip_address = '',
      payload = json_build_object('action', l.payload::jsonb -> 'action',
        'actor_id', l.payload::jsonb -> 'actor_id', 'log_type', l.payload::jsonb -> 'log_type')
      where of_user::text in (l.payload::jsonb ->> 'actor_id', l.payload::jsonb #>> '{traits,user_id}');
  exception when insufficient_privilege then
    raise warning 'launchpad: auth.audit_log_entries is left to Auth';
  end;
end
$$;

create function private.erase_broadcasts(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
begin
  delete from realtime.messages m where m.topic = any (private.topics_of(of_user));
exception when insufficient_privilege then
  raise warning 'launchpad: realtime.messages is left to Realtime';
end
$$;

-- Removes what there is of an account now. Called when it goes and, for what came late, by private.forget_erased. The
-- audit is blanked last: the deletions before it write events.
create function private.erase_rows(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  agents text[] := array(select d.agent_id from private.agent_deployments d where d.user_id = of_user
    union select e.agent_id from public.agent_events e where e.user_id = of_user);
  wanted text;
begin
  delete from public.agents a where a.user_id = of_user;
  for wanted in select t from private.tables_of_users('public') t
    where t not in ('agents', 'agent_events', 'security_events') loop
    execute format('delete from public.%I t where t.user_id = $1', wanted) using of_user;
  end loop;
  for wanted in select t from private.tables_of_users('private') t
    where t not in ('agent_deployments', 'erased_accounts') loop
    execute format('delete from private.%I t where t.user_id = $1', wanted) using of_user;
  end loop;
  update private.agent_deployments d set updated_at = d.updated_at
    where d.user_id = of_user and d.desired = 'absent'
      and (d.reason, d.message, d.last_error, d.platform_problem, d.application, d.conditions)
        is distinct from (null, null, null, null, null::jsonb, '[]'::jsonb);
  delete from private.metrics_to_roll m where m.agent_id = any (agents);
  delete from private.advisories v where v.agent_id = any (agents);
  update private.file_removals r set last_error = null where r.agent_id = any (agents) and r.last_error is not null;
  delete from private.security_event_windows w where split_part(w.subject, '/', 1) = of_user::text;
  delete from private.sign_in_failures f where f.subject = 'user:' || of_user;
  update public.agent_events e set message = (private.blanked(e)).message, details = '{}', request_id = null
    where e.user_id = of_user and to_jsonb(e) is distinct from to_jsonb(private.blanked(e));
  update public.security_events e set message = b.message, details = b.details, ip_address = null, user_agent = null,
      agent_id = b.agent_id
    from public.security_events old cross join lateral private.blanked(old) b
    where e.id = old.id and old.user_id = of_user and to_jsonb(old) is distinct from to_jsonb(b);
end
$$;
comment on function private.erase_rows(uuid) is 'Removes what there is of an erased account; blanks its audit.';

create function private.erase_user(of_user uuid, email text) returns void
language plpgsql volatile set search_path = '' as $$
begin
  insert into private.erased_accounts (user_id) values (of_user) on conflict do nothing;
  perform private.record_security_event('ACCOUNT_DELETED', of_user, 'The account was deleted');
  perform private.erase_broadcasts(of_user);
  perform private.erase_rows(of_user);
  perform private.erase_platform_rows(of_user);
  delete from private.sign_in_failures f where f.subject = private.sign_in_subject(null, email);
  delete from private.auth_counters c where c.email_digest = private.email_digest(email);
end
$$;
comment on function private.erase_user(uuid, text) is 'Erases an account: rows, broadcasts, words in the audit.';

-- However the account goes (delete_my_account, the dashboard, Auth's admin API). Before the cascades: swarms are still
-- there to name their topics. Definer: Auth's role has no rights here.
create function private.tg_users__begin_erasure() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.erased_accounts (user_id) values (old.id) on conflict do nothing;
  perform private.erase_broadcasts(old.id);
  return old;
end
$$;
create trigger _900_launchpad_begin_erasure before delete on auth.users
  for each row execute function private.tg_users__begin_erasure();

-- Numbered last, so that the foreign keys' cascades have run. Definer: as above.
create function private.tg_users__erase() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.erase_user(old.id, old.email);
  return null;
end
$$;
create trigger _900_launchpad_erase after delete on auth.users
  for each row execute function private.tg_users__erase();
create trigger _900_launchpad_erase_softly after update of deleted_at on auth.users
  for each row when (old.deleted_at is null and new.deleted_at is not null) execute function private.tg_users__erase();

-- A soft deletion keeps Auth's row for its id. Auth's admin API replaces address and telephone by a digest and empties
-- the rest itself; whoever only sets deleted_at has it done here, for every text of the row. Definer: as above.
create function private.tg_users__blank() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  known jsonb := to_jsonb(old);
  blank jsonb := '{}';
  field text;
begin
  for field in
    select a.attname from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      and t.typname in ('text', 'varchar', 'jsonb')
      and a.attname not in ('aud', 'role')
  loop
    if to_jsonb(new) -> field = known -> field and known -> field <> 'null' then
      -- Auth reads its tokens as texts that are never null.
      blank := blank || jsonb_build_object(field, case when field in ('email', 'phone') then 'null'::jsonb
        when field like 'raw\_%' then '{}' else '""' end);
    end if;
  end loop;
  new := jsonb_populate_record(new, blank);
  return new;
end
$$;
create trigger _300_launchpad_blank before update of deleted_at on auth.users
  for each row when (old.deleted_at is null and new.deleted_at is not null) execute function private.tg_users__blank();

insert into private.verbs (name, permission, status, idempotent) values ('delete_my_account', null, 200, false);

-- `confirm` is the account's e-mail address (or id, where it has none): nothing else undoes a slip. Files go through
-- the Storage API, which alone can delete their bytes; while there are some this is a
-- CONFLICT, as Supabase itself has it.
create function private.verb_delete_my_account(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  address text := (select u.email from auth.users u where u.id = caller);
  files bigint := (select count(*) from storage.objects o where o.owner_id = caller::text or o.owner = caller);
  agents bigint := (select count(*) from public.agents a where a.user_id = caller and a.deleted_at is null);
begin
  perform private.raise_problems(private.problem_if(
    lower(args ->> 'confirm') is distinct from lower(coalesce(nullif(address, ''), caller::text)), 'confirm',
    'Must be the e-mail address of this account'));
  if files > 0 then
    perform private.raise_error('CONFLICT', 'This account still owns files; delete them through Storage first',
      jsonb_build_object('files', files));
  end if;
  delete from auth.users u where u.id = caller;
  return jsonb_build_object('user_id', caller, 'status', 'DELETED', 'message', 'Account deleted',
    'agents_deleted', agents, 'audit_log_preserved', exists (select from public.agent_events e
      where e.user_id = caller),
    'timestamp', private.iso(now()));
end
$$;

-- Called by pg_cron: what slipped in while an account went, and marks no longer needed.
create function private.forget_erased() returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.erase_rows(e.user_id) from private.erased_accounts e;
  delete from private.erased_accounts e
    where e.erased_at < now() - interval '1 day'
      and not exists (select from private.agent_deployments d where d.user_id = e.user_id and d.removed_at is null);
end
$$;
comment on function private.forget_erased() is 'Removes late rows of deleted accounts; run by pg_cron.';
select cron.schedule('launchpad-forget', '*/10 * * * *', 'select private.forget_erased()');

create function public.delete_my_account(confirm text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('delete_my_account', jsonb_build_object('confirm', confirm)); end $$;
revoke execute on function public.delete_my_account(text) from public, anon, service_role;
grant execute on function public.delete_my_account(text) to authenticated;
comment on function public.delete_my_account(text) is
  'Deletes the caller''s account and personal data; `confirm` is its e-mail address.';

revoke execute on all functions in schema private from public;
