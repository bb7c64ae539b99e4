-- Sign-in lockout, and what a gateway reports: wrong passwords, forged tokens, refusals that leave no trace in SQL.

insert into private.security_settings (name, value, description) values
  ('lockout', '{"failures": 5, "within_seconds": 300, "lock_seconds": 900}',
   'After so many wrong passwords within so many seconds an account''s sign-in is locked for so long.');

-- Wrong passwords of an account in the lockout's time, and until when its sign-in is locked.
-- subject: user:<id>, or email:<sha256> where no account has the address: both are counted and locked alike, so that
-- the lockout does not tell which is which. (Sign-up without confirmation does: it gives a session, or says that the
-- account exists.)
create table private.sign_in_failures (
  subject text primary key,
  failed_at timestamptz[] not null default '{}',
  locked_until timestamptz
);
alter table private.sign_in_failures enable row level security;
comment on table private.sign_in_failures is 'Recent wrong passwords, and locks.';

create function private.sign_in_subject(of_user uuid, email text) returns text
language sql immutable set search_path = ''
return coalesce('user:' || of_user, 'email:' || encode(extensions.digest(lower(btrim(email)), 'sha256'), 'hex'));

-- The account of an address, by the index that Auth keeps: it stores addresses in lower case.
create function private.account_of(address text) returns uuid
language sql stable set search_path = ''
return (select u.id from auth.users u where u.email = lower(btrim(address)) and not u.is_sso_user limit 1);

-- '15 minutes', '90 seconds'.
create function private.span_words(seconds integer) returns text
language sql immutable parallel safe set search_path = ''
return case when seconds % 60 = 0 then seconds / 60 || case when seconds = 60 then ' minute' else ' minutes' end
            else seconds || ' seconds' end;

-- {locked, retry_after in seconds}. A sign-in while locked is recorded.
create function private.sign_in_lock(of_user uuid, of_subject text, ip text, user_agent text) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  until timestamptz;
begin
  select f.locked_until into until from private.sign_in_failures f where f.subject = of_subject
    and f.locked_until > now();
  if until is null then
    return '{"locked": false, "retry_after": 0}';
  end if;
  perform private.record_security_event('LOCKED_SIGN_IN', of_user, null, null,
    jsonb_build_object('locked_until', private.iso(until)), null, null, ip, user_agent);
  return jsonb_build_object('locked', true, 'retry_after', ceil(extract(epoch from until - now()))::integer);
end
$$;

-- Takes the outcome of one password check; returns {locked, retry_after}. Locks the subject's row until commit.
create function private.register_sign_in(of_user uuid, of_subject text, ok boolean, ip text,
  user_agent text) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  rule jsonb;
  f private.sign_in_failures;
  failures integer;
  locks boolean;
begin
  select s.value into strict rule from private.security_settings s where s.name = 'lockout';
  insert into private.sign_in_failures (subject) values (of_subject) on conflict do nothing;
  select * into strict f from private.sign_in_failures x where x.subject = of_subject for update;
  if f.locked_until > now() then
    return private.sign_in_lock(of_user, of_subject, ip, user_agent);
  elsif ok then
    delete from private.sign_in_failures x where x.subject = of_subject;
    return '{"locked": false, "retry_after": 0}';
  end if;
  select coalesce(array_agg(t order by t), '{}') into f.failed_at from unnest(f.failed_at) t
    where t > now() - make_interval(secs => (rule ->> 'within_seconds')::integer);
  failures := cardinality(f.failed_at) + 1;
  locks := failures >= (rule ->> 'failures')::integer;
  update private.sign_in_failures x set
      failed_at = case when locks then '{}' else f.failed_at || clock_timestamp() end,
      locked_until = case when locks then now() + make_interval(secs => (rule ->> 'lock_seconds')::integer) end
    where x.subject = of_subject;
  perform private.record_security_event(
    case when of_user is null then 'UNKNOWN_ACCOUNT_SIGN_IN' else 'AUTH_FAILURE' end, of_user,
    case when of_user is null then null when failures > 1 then 'Multiple authentication failures detected'
         else 'Authentication failed' end, null,
    jsonb_build_object('failure_count', failures,
      'time_window', private.span_words((rule ->> 'within_seconds')::integer)),
    case when of_user is null then null when locks then 'HIGH'
         else private.severity_of('AUTH_FAILURE', failures) end,
    case when locks and of_user is not null then jsonb_build_object('action_taken', 'TEMPORARY_LOCKOUT',
      'duration', private.span_words((rule ->> 'lock_seconds')::integer)) end,
    ip, user_agent);
  return jsonb_build_object('locked', locks,
    'retry_after', case when locks then (rule ->> 'lock_seconds')::integer else 0 end);
end
$$;

-- Hosted and self-hosted Auth calls this after each password check, before it answers (config.toml, [auth.hook]). The
-- event is {user_id, valid}; Auth tells neither address nor user agent. Definer: Auth's role has no rights here.
create function private.password_verification_attempt(event jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  of_user uuid := (event ->> 'user_id')::uuid;
  answer jsonb := private.register_sign_in(of_user, 'user:' || of_user,
    coalesce((event ->> 'valid')::boolean, false), null, null);
begin
  if (answer ->> 'locked')::boolean then
    return jsonb_build_object('decision', 'reject', 'should_logout_user', false, 'message',
      format('Too many failed sign-in attempts; try again in %s',
        private.span_words((answer ->> 'retry_after')::integer)));
  end if;
  return '{"decision": "continue"}';
end
$$;
grant usage on schema private to supabase_auth_admin;
grant execute on function private.password_verification_attempt(jsonb) to supabase_auth_admin;
comment on function private.password_verification_attempt(jsonb) is
  'Auth hook: counts wrong passwords, refuses locked accounts.';

-- For a gateway before an Auth without that hook. Definer: service_role has no rights on private tables or auth.users.
create function private.begin_sign_in(email text, ip text, user_agent text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  of_user uuid := private.account_of(begin_sign_in.email);
begin
  return private.sign_in_lock(of_user, private.sign_in_subject(of_user, email), coalesce(ip, ''), user_agent);
end
$$;
-- Definer: as above.
create function private.record_auth_attempt(email text, ok boolean, ip text, user_agent text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  of_user uuid := private.account_of(record_auth_attempt.email);
begin
  return private.register_sign_in(of_user, private.sign_in_subject(of_user, email), coalesce(ok, false),
    coalesce(ip, ''), user_agent);
end
$$;

-- What only a gateway sees: forged tokens, and refusals of PostgREST that undo their
-- transaction and so leave no trace in SQL.
-- reports: [{kind: 'forged_token', sub, role, path, …} | {kind: 'denied', user_id, code, message, path, …}], each with
-- method, ip, user_agent and count. A forged token's sub is a claim, not a fact: the event goes to that account, if
-- there is one, so that its owner learns of it, says `verified: false`, and is one row per ten
-- minutes however many are sent.
-- Definer: as above.
create function private.record_security_reports(reports jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  r record;
  kind text;
  claimed uuid;
  known uuid;
  recorded integer := 0;
begin
  for r in
    select * from jsonb_to_recordset(reports) as x (kind text, sub text, role text, user_id text,
      code text, message text,
      path text, method text, ip text, user_agent text, count bigint)
    -- One order for all: two batches must not wait for each other.
    order by x.kind, coalesce(x.user_id, x.sub)
    limit 1000
  loop
    if r.kind = 'forged_token' then
      claimed := private.to_uuid(r.sub);
      known := (select u.id from auth.users u where u.id = claimed);
      perform private.record_security_event('FORGED_TOKEN', known, 'A token with a forged signature was used', null,
        jsonb_build_object('claimed_sub', left(r.sub, 100), 'claimed_role', left(r.role, 100), 'verified', false,
          'method', left(r.method, 20), 'path', left(r.path, 200)),
        case when r.role in ('service_role', 'supabase_admin', 'postgres') then 'CRITICAL' end, null,
          coalesce(r.ip, ''),
        r.user_agent, greatest(coalesce(r.count, 1), 1));
    else
      kind := case
        when r.code = '42501' and r.message like '%row-level security%' then 'RLS_VIOLATION'
        when r.code = '42501' then 'PERMISSION_DENIED'
        else (select t.event_type from private.security_event_types t where r.code = any (t.refusal_codes)) end;
      continue when kind is null;
      perform private.record_security_event(kind, private.to_uuid(r.user_id), null, null,
        jsonb_build_object('code', left(r.code, 50),
          'method', left(r.method, 20), 'path', left(r.path, 200)), null, null, coalesce(r.ip, ''), r.user_agent,
        greatest(coalesce(r.count, 1), 1));
    end if;
    recorded := recorded + 1;
  end loop;
  return jsonb_build_object('recorded', recorded);
end
$$;

grant execute on function private.begin_sign_in(text, text, text),
  private.record_auth_attempt(text, boolean, text, text),
  private.record_security_reports(jsonb) to service_role;

create function public.begin_sign_in(email text, ip text default null, user_agent text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.begin_sign_in(email, ip, user_agent); end $$;
create function public.record_auth_attempt(email text, ok boolean, ip text default null,
  user_agent text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.record_auth_attempt(email, ok, ip, user_agent); end $$;
create function public.record_security_reports(reports jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.record_security_reports(reports); end $$;
revoke execute on function public.begin_sign_in(text, text, text),
  public.record_auth_attempt(text, boolean, text, text),
  public.record_security_reports(jsonb) from public, anon, authenticated;
grant execute on function public.begin_sign_in(text, text, text), public.record_auth_attempt(text, boolean, text, text),
  public.record_security_reports(jsonb) to service_role;
comment on function public.begin_sign_in(text, text, text) is 'Gateway: whether an account''s sign-in is locked.';
comment on function public.record_auth_attempt(text, boolean, text, text) is
  'Gateway: the outcome of a password check.';
comment on function public.record_security_reports(jsonb) is 'Gateway: forged tokens and refused requests it saw.';

-- What no longer counts.
create function private.forget_sign_ins() returns void
language sql volatile set search_path = '' as $$
  delete from private.sign_in_failures f
  where coalesce(f.locked_until, '-infinity') < now()
    and not exists (select from unnest(f.failed_at) t where t > now() - interval '1 day');
  delete from private.security_event_windows w where w.streak_started_at < now() - interval '1 day'
    and w.started_at < now() - interval '1 day'
$$;
select cron.schedule('launchpad-forget-sign-ins', '41 * * * *', 'select private.forget_sign_ins()');
