-- What a user may take along, and how an account goes (GDPR articles 15, 17, 20). docs/privacy.md says the rest.

insert into private.verbs (name, permission, status, idempotent) values
  ('export_my_data', null, 200, false),
  ('delete_my_account', null, 200, false);

-- Accounts that are gone, until nothing can write of them any more: replicas that are being stopped still ship lines.
-- A look at each stored row would tax all of them, so a job removes these few.
create table private.erased_accounts (
  user_id uuid primary key,
  erased_at timestamptz not null default now()
);
alter table private.erased_accounts enable row level security;
comment on table private.erased_accounts is 'Deleted accounts whose late telemetry is still to be removed.';

-- The tables of `public` that hold rows of users, from the catalogue, so that a table added later is not forgotten.
create function private.user_tables() returns setof text
language sql stable set search_path = '' as $$
  select c.relname::text from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
    and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped)
  order by 1
$$;

-- Everything a user owns as one document. Names of secrets, never values. Of a table with more than 50000 rows of this user the
-- newest are in it, and `omitted` says how many are not: those are read page by page at /rest/v1.
create function private.verb_export_my_data(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  most constant integer := 50000;
  document jsonb := private.profile(caller);
  wanted text;
  moment text;
  rows jsonb;
  total bigint;
  omitted jsonb := '{}';
  tables jsonb := '{}';
begin
  for wanted in select * from private.user_tables() loop
    select a.attname into moment from pg_attribute a
      where a.attrelid = ('public.' || quote_ident(wanted))::regclass and a.attname in ('timestamp', 'created_at', 'updated_at', 'granted_at')
      order by array_position(array['timestamp', 'created_at', 'updated_at', 'granted_at'], a.attname::text) limit 1;
    execute format('select coalesce(jsonb_agg(to_jsonb(r) - ''vault_id'' order by r.%1$I), ''[]'') from (
        select * from public.%2$I t where t.user_id = $1 order by t.%1$I desc limit $2) r', coalesce(moment, 'user_id'), wanted)
      into rows using caller, most;
    tables := tables || jsonb_build_object(wanted, rows);
    if jsonb_array_length(rows) = most then
      execute format('select count(*) from public.%I t where t.user_id = $1', wanted) into total using caller;
      if total > most then
        omitted := omitted || jsonb_build_object(wanted, total - most);
      end if;
    end if;
  end loop;
  return document || jsonb_build_object('exportedAt', private.iso(now()), 'user_id', caller, 'tables', tables, 'omitted', omitted,
    'sessions', (select coalesce(jsonb_agg(jsonb_build_object('created_at', private.iso(s.created_at), 'ip', host(s.ip),
      'user_agent', s.user_agent) order by s.created_at), '[]') from auth.sessions s where s.user_id = caller),
    'identities', (select coalesce(jsonb_agg(jsonb_build_object('provider', i.provider, 'created_at', private.iso(i.created_at),
      'identity_data', i.identity_data) order by i.created_at), '[]') from auth.identities i where i.user_id = caller),
    'files', (select coalesce(jsonb_agg(jsonb_build_object('bucket', o.bucket_id, 'name', o.name, 'size', o.metadata -> 'size',
      'created_at', private.iso(o.created_at)) order by o.bucket_id, o.name), '[]')
      from storage.objects o where o.owner_id = caller::text or o.owner = caller));
end
$$;

-- What of a user can hold words and figures of theirs goes at once; the audit (agent_events, security_events) stays, by the
-- user's id alone. Deployments stay until the cluster holds nothing of them, without what the agent last said.
create function private.erase_user(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  wanted text;
begin
  insert into private.erased_accounts (user_id) values (of_user) on conflict do nothing;
  delete from public.agents a where a.user_id = of_user;
  for wanted in select t from private.user_tables() t where t not in ('agents', 'agent_events', 'security_events') loop
    execute format('delete from public.%I t where t.user_id = $1', wanted) using of_user;
  end loop;
  update private.agent_deployments d set message = null, last_error = null, application = null, conditions = '[]'
    where d.user_id = of_user;
  delete from private.metrics_to_roll m using private.agent_deployments d where d.agent_id = m.agent_id and d.user_id = of_user;
  delete from private.rate_counters c where c.user_id = of_user;
  delete from auth.flow_state f where f.user_id = of_user;
end
$$;
comment on function private.erase_user(uuid) is 'Removes what an account leaves behind; the audit stays.';

-- However the account goes (delete_my_account, the dashboard, Auth's admin API). Definer: Auth's role has no rights here.
-- Numbered last, so that the foreign keys' cascades have run.
create function private.tg_users__erase() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.erase_user(old.id);
  delete from private.auth_counters c where c.email_digest = private.email_digest(old.email);
  return null;
end
$$;
create trigger _900_launchpad_erase after delete on auth.users
  for each row execute function private.tg_users__erase();

-- `confirm` is the account's e-mail address (or id, where it has none): nothing else undoes a slip. Files go through the
-- Storage API, which alone can delete their bytes; while there are some this is a CONFLICT, as Supabase itself has it.
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
    'agents_deleted', agents, 'audit_log_preserved', exists (select from public.agent_events e where e.user_id = caller),
    'timestamp', private.iso(now()));
end
$$;

-- Called by pg_cron: what slipped in while an account went, and marks no longer needed.
create function private.forget_erased() returns void
language plpgsql volatile set search_path = '' as $$
begin
  delete from public.agent_logs l using private.erased_accounts e where l.user_id = e.user_id;
  delete from public.agent_metrics m using private.erased_accounts e where m.user_id = e.user_id;
  delete from public.agent_metrics_minute m using private.erased_accounts e where m.user_id = e.user_id;
  delete from public.agent_metrics_hour m using private.erased_accounts e where m.user_id = e.user_id;
  delete from private.erased_accounts e
    where e.erased_at < now() - interval '1 day'
      and not exists (select from private.agent_deployments d where d.user_id = e.user_id and d.removed_at is null);
end
$$;
comment on function private.forget_erased() is 'Removes late telemetry of deleted accounts; run by pg_cron.';
select cron.schedule('launchpad-forget', '*/10 * * * *', 'select private.forget_erased()');

create function public.export_my_data() returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('export_my_data', '{}'); end $$;
create function public.delete_my_account(confirm text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.handle('delete_my_account', jsonb_build_object('confirm', confirm)); end $$;
revoke execute on function public.export_my_data(), public.delete_my_account(text) from public, anon, service_role;
grant execute on function public.export_my_data(), public.delete_my_account(text) to authenticated;
comment on function public.export_my_data() is 'Everything the caller owns as one document; no secret values.';
comment on function public.delete_my_account(text) is 'Deletes the caller''s account and personal data; `confirm` is its e-mail address.';

revoke execute on all functions in schema private from public;
