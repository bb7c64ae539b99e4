-- Security events: what they are, how serious, and the one function that writes them.
-- The rules are data: an operator changes a severity or a threshold with an UPDATE that counts at once.

-- Every kind of event. refusal_codes: error codes of private.handle that are recorded as this kind.
-- coalesce_seconds: repeats of one subject (a user, or an address where there is none) within that time are one row
-- with a count; 0: every occurrence is a row.
create table private.security_event_types (
  event_type text primary key,
  severity text not null,
  coalesce_seconds integer not null default 60,
  per_agent boolean not null default false,
  refusal_codes text[] not null default '{}',
  description text not null,
  constraint security_event_types_severity_known check (severity in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  constraint security_event_types_coalesce_bounds check (coalesce_seconds between 0 and 86400)
);
alter table private.security_event_types enable row level security;
comment on table private.security_event_types is 'Kinds of security events with their severity.';

insert into private.security_event_types (event_type, severity, coalesce_seconds, per_agent, refusal_codes,
  description) values
  ('AUTH_FAILURE', 'LOW', 0, false, '{}', 'A sign-in with a wrong password'),
  ('UNKNOWN_ACCOUNT_SIGN_IN', 'LOW', 60, false, '{}', 'A sign-in for an account that does not exist'),
  ('LOCKED_SIGN_IN', 'MEDIUM', 60, false, '{}', 'A sign-in while the account is locked'),
  ('FORGED_TOKEN', 'HIGH', 600, false, '{}', 'A token whose signature is not ours'),
  ('INVALID_TOKEN', 'LOW', 60, false, '{INVALID_JWT_TOKEN}', 'A token of an account that is gone'),
  ('RLS_VIOLATION', 'HIGH', 60, false, '{RLS_ACCESS_DENIED}', 'A row-level security policy refused a change'),
  ('PERMISSION_DENIED', 'MEDIUM', 60, false, '{INSUFFICIENT_PERMISSIONS,PERMISSION_DENIED}',
    'A request without the permission it needs'),
  ('AGENT_ACCESS_DENIED', 'LOW', 60, false, '{AGENT_NOT_FOUND}', 'A request for an agent that is not the caller''s'),
  ('QUOTA_EXCEEDED', 'LOW', 60, false, '{RESOURCE_LIMIT_EXCEEDED,AGENT_LIMIT_REACHED}', 'A request beyond the quota'),
  ('RATE_LIMIT_EXCEEDED', 'LOW', 60, false, '{RATE_LIMIT_EXCEEDED}', 'More requests than the rate limit allows'),
  ('DEPLOYMENT_BLOCKED', 'HIGH', 0, false, '{SECURITY_SCAN_FAILED}', 'A deployment blocked by critical findings'),
  ('SECRET_ACCESS', 'LOW', 60, true, '{}', 'The controller read an agent''s secrets'),
  ('SECURITY_SCAN', 'LOW', 0, false, '{}', 'A security scan'),
  ('AGENT_DELETED', 'LOW', 0, false, '{}', 'An agent was deleted'),
  ('ACCOUNT_DELETED', 'MEDIUM', 0, false, '{}', 'An account was deleted');

-- When repeats make it worse: the at_count-th occurrence within within_seconds raises the severity.
create table private.security_escalations (
  event_type text not null references private.security_event_types (event_type) on update cascade on delete cascade,
  at_count integer not null,
  within_seconds integer not null,
  severity text not null,
  constraint security_escalations_pkey primary key (event_type, at_count),
  constraint security_escalations_severity_known check (severity in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  constraint security_escalations_positive check (at_count > 1 and within_seconds > 0)
);
alter table private.security_escalations enable row level security;
comment on table private.security_escalations is 'How often makes a kind of security event how serious.';

insert into private.security_escalations (event_type, at_count, within_seconds, severity) values
  ('AUTH_FAILURE', 3, 300, 'MEDIUM'), ('AUTH_FAILURE', 5, 300, 'HIGH'),
  ('UNKNOWN_ACCOUNT_SIGN_IN', 20, 3600, 'MEDIUM'), ('UNKNOWN_ACCOUNT_SIGN_IN', 100, 3600, 'HIGH'),
  ('LOCKED_SIGN_IN', 20, 3600, 'HIGH'),
  ('FORGED_TOKEN', 50, 3600, 'CRITICAL'),
  ('RLS_VIOLATION', 10, 3600, 'CRITICAL'),
  ('PERMISSION_DENIED', 10, 3600, 'HIGH'),
  ('AGENT_ACCESS_DENIED', 10, 3600, 'MEDIUM'), ('AGENT_ACCESS_DENIED', 50, 3600, 'HIGH'),
  ('QUOTA_EXCEEDED', 50, 3600, 'MEDIUM'),
  ('RATE_LIMIT_EXCEEDED', 200, 3600, 'MEDIUM'), ('RATE_LIMIT_EXCEEDED', 2000, 3600, 'HIGH');

create table private.security_settings (
  name text primary key,
  value jsonb not null,
  description text not null
);
alter table private.security_settings enable row level security;
comment on table private.security_settings is 'Operator-wide security settings.';

-- Append-only, and outlives agents and users. Two changes alone are allowed to a row: its count grows while repeats are
-- coalesced, and the erasure of its account blanks it.
create table public.security_events (
  id text primary key default 'event-' || private.random_base32(12),
  event_type text not null,
  severity text not null,
  -- Null: nobody's in particular; operators see these.
  user_id uuid,
  agent_id text,
  message text not null,
  "timestamp" timestamptz not null default clock_timestamp(),
  ip_address inet,
  user_agent text,
  details jsonb not null default '{}',
  automated_response jsonb,
  constraint security_events_severity_known check (severity in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL'))
);
alter table public.security_events enable row level security;
create index security_events_user_id_timestamp_idx on public.security_events (user_id, "timestamp" desc);
-- An operator's view over all users, and retention.
create index security_events_timestamp_idx on public.security_events using brin ("timestamp");
grant select on public.security_events to authenticated, service_role;
create policy "users can read their security events" on public.security_events for select to authenticated
  using (user_id = (select private.reader('monitoring:read') limit private.one_row()));
comment on table public.security_events is
  'What happened to each user''s account and agents that matters for security.';

create function private.tg_security_events__append_only() returns trigger
language plpgsql set search_path = '' as $$
begin
  if tg_op = 'UPDATE'
     and to_jsonb(new) - 'details' = to_jsonb(old) - 'details'
     and new.details - '{count,last_at,agent_ids}'::text[] = old.details - '{count,last_at,agent_ids}'::text[]
     and (new.details ->> 'count')::bigint > coalesce((old.details ->> 'count')::bigint, 1) then
    return new;
  elsif tg_op = 'UPDATE' and private.is_erased(old.user_id) and to_jsonb(new) = to_jsonb(private.blanked(old)) then
    return new;
  end if;
  perform private.raise_error('PERMISSION_DENIED', 'security_events is append-only',
    '{"security_events": "Rows cannot be changed or deleted"}');
  return null;
end
$$;
create trigger _100_append_only before update or delete on public.security_events
  for each row execute function private.tg_security_events__append_only();
create trigger _100_never_truncate before truncate on public.security_events
  for each statement execute function private.tg_security_events__append_only();

alter publication supabase_realtime add table public.security_events;

-- Open windows of coalesced kinds. streak counts over the escalation's longer time. Unlogged: losing it in a crash
-- costs one extra row.
create unlogged table private.security_event_windows (
  event_type text not null,
  subject text not null,
  event_id text not null,
  severity text not null,
  started_at timestamptz not null,
  occurrences bigint not null,
  streak_started_at timestamptz not null,
  streak bigint not null,
  constraint security_event_windows_pkey primary key (event_type, subject)
);
alter table private.security_event_windows enable row level security;
comment on table private.security_event_windows is 'What the repeats of an event are counted in.';

-- A text as an address or an id; null when it is none. Statements of their own: within one expression the planner may
-- cast before it asks.
create function private.to_inet(value text) returns inet
language plpgsql stable set search_path = '' as $$
begin
  if pg_input_is_valid(coalesce(value, ''), 'inet') then
    return value::inet;
  end if;
  return null;
end
$$;
create function private.to_uuid(value text) returns uuid
language plpgsql stable set search_path = '' as $$
begin
  if pg_input_is_valid(coalesce(value, ''), 'uuid') then
    return value::uuid;
  end if;
  return null;
end
$$;

-- The address of a request's client: the first of X-Forwarded-For, as Supabase's gateways and the embedded one set it.
create function private.client_ip() returns inet
language sql stable set search_path = ''
return private.to_inet(btrim(split_part(private.request_header('x-forwarded-for'), ',', 1)));

-- The severity that so many occurrences of a kind have.
create function private.severity_of(of_type text, occurrences bigint) returns text
language sql stable set search_path = ''
return (
  select coalesce(
    (select e.severity from private.security_escalations e
     where e.event_type = t.event_type and e.at_count <= occurrences order by e.at_count desc limit 1),
    t.severity)
  from private.security_event_types t where t.event_type = of_type
);

-- Writes one security event and returns its id; the only writer of security_events. A repeat within its kind's window
-- grows the count of the open row instead, unless it has become more serious. Locks the subject's window until commit.
-- level: overrides the rule. from_ip, from_agent: default to the request's own.
create function private.record_security_event(
  of_type text, of_user uuid, message text, of_agent text default null, details jsonb default '{}',
  level text default null, automated_response jsonb default null, from_ip text default null,
    from_agent text default null,
  times bigint default 1
) returns text
language plpgsql volatile set search_path = '' as $$
declare
  kind private.security_event_types;
  new_id text := 'event-' || private.random_base32(12);
  address inet := case when from_ip is null then private.client_ip() else private.to_inet(from_ip) end;
  moment timestamptz := clock_timestamp();
  longest interval;
  w private.security_event_windows;
begin
  select * into strict kind from private.security_event_types t where t.event_type = of_type;
  details := private.within(jsonb_strip_nulls(coalesce(details, '{}')), 8192);
  if kind.coalesce_seconds > 0 then
    select make_interval(secs => coalesce(max(e.within_seconds), kind.coalesce_seconds)) into longest
      from private.security_escalations e where e.event_type = of_type;
    insert into private.security_event_windows as o (event_type, subject, event_id, severity, started_at, occurrences,
        streak_started_at, streak)
      values (of_type, coalesce(of_user::text, 'ip:' || coalesce(host(address), '')) ||
          case when kind.per_agent then '/' || coalesce(of_agent, '') else '' end,
        new_id, '', moment, times, moment, times)
      on conflict (event_type, subject) do update set
        streak = case when o.streak_started_at > moment - longest then o.streak + times else times end,
        streak_started_at = case when o.streak_started_at > moment - longest then o.streak_started_at else moment end
      returning * into w;
    level := coalesce(level, private.severity_of(of_type, w.streak));
    if w.event_id <> new_id and w.severity = level
      and w.started_at > moment - make_interval(secs => kind.coalesce_seconds) then
      update private.security_event_windows o set occurrences = o.occurrences + times
        where o.event_type = of_type and o.subject = w.subject returning o.occurrences into w.occurrences;
      update public.security_events e set details = e.details
          || jsonb_build_object('count', w.occurrences, 'last_at', private.iso(moment))
          || case when of_agent is null or jsonb_array_length(coalesce(e.details -> 'agent_ids', '[]')) >= 20
                    or coalesce(e.details -> 'agent_ids', to_jsonb(array[e.agent_id])) ? of_agent then '{}'
                  else jsonb_build_object('agent_ids',
                    coalesce(e.details -> 'agent_ids', to_jsonb(array_remove(array[e.agent_id], null)))
                      || to_jsonb(of_agent)) end
        where e.id = w.event_id;
      if found then
        return w.event_id;
      end if;
    end if;
    update private.security_event_windows o set event_id = new_id, severity = level,
        started_at = moment, occurrences = times
      where o.event_type = of_type and o.subject = w.subject;
    if times > 1 then
      details := details || jsonb_build_object('count', times, 'last_at', private.iso(moment));
    end if;
  end if;
  insert into public.security_events (id, event_type, severity, user_id, agent_id, message, "timestamp",
    ip_address, user_agent,
      details, automated_response)
    values (new_id, of_type, coalesce(level, kind.severity), of_user, left(of_agent, 100),
      left(coalesce(message, kind.description), 500), moment, address,
      left(coalesce(from_agent, private.request_header('user-agent')), 500),
      details, automated_response);
  return new_id;
end
$$;
comment on function private.record_security_event is 'Writes one security event, coalescing repeats; returns its id.';

-- What private.handle refuses, as an event of its caller. Called by private.refuse, after the verb's work was undone
-- and before the answer commits. Another user's agent and one that never was make the same row: an event may not tell a
-- prober what the answer hides (private.cross_tenant_probes tells operators).
create function private.record_refusal(code text, message text, details jsonb, verb text, args jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  kind text;
  caller uuid;
begin
  select t.event_type into kind from private.security_event_types t where code = any (t.refusal_codes);
  if kind is null then
    return;
  elsif kind <> 'INVALID_TOKEN' then
    caller := auth.uid();
  end if;
  perform private.record_security_event(kind, caller,
    -- What refuse_request says was written by its caller.
    case when verb is distinct from 'refuse_request' then record_refusal.message end,
    case when verb is distinct from 'refuse_request' then args ->> 'agent_id' end,
    jsonb_build_object('code', code, 'verb', verb, 'facts',
      case when verb is distinct from 'refuse_request'
        then private.within(nullif(record_refusal.details, 'null'), 4096) end,
      'request_id', left(private.request_header('x-request-id'), 100)));
exception when others then
  -- A defect here must not turn a refusal into an error of ours.
  raise warning 'launchpad: a security event was not recorded: %', sqlerrm;
end
$$;

-- Probes for agents that exist and are another user's: for operators.
create view private.cross_tenant_probes with (security_invoker = true) as
  select e.id, e."timestamp", e.user_id as prober, x.agent_id, d.user_id as owner, e.ip_address, e.user_agent
  from public.security_events e
  cross join lateral (
    select e.agent_id union select jsonb_array_elements_text(coalesce(e.details -> 'agent_ids', '[]'))) x (agent_id)
  join lateral (
    select a.user_id from public.agents a where a.id = x.agent_id
    union select p.user_id from private.agent_deployments p where p.agent_id = x.agent_id) d on d.user_id <> e.user_id
  where e.event_type = 'AGENT_ACCESS_DENIED';
comment on view private.cross_tenant_probes is
  'Who asked for another user''s agent, which the event itself may not tell.';

-- Called by private.agent_environment: names alone, and nothing where the agent has no secrets.
create function private.record_secret_access(of_agent text) returns void
language plpgsql volatile set search_path = '' as $$
declare
  owner uuid;
  names jsonb;
begin
  select min(s.user_id::text)::uuid, jsonb_agg(s.name order by s.name) into owner, names
    from public.agent_secrets s where s.agent_id = of_agent;
  if names is not null then
    perform private.record_security_event('SECRET_ACCESS', owner,
      'The controller read the agent''s secrets to start it', of_agent,
      jsonb_build_object('names', names, 'actor', 'controller'));
  end if;
end
$$;

-- Notes that an agent was deleted. Definer: writes security events. The cascade from a deleted account comes here too.
create function private.tg_agents__record_deleted() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.record_security_event('AGENT_DELETED', old.user_id, 'The agent was deleted', old.id,
    jsonb_build_object('actor', coalesce('user:' || (select auth.uid())::text, 'system')));
  return null;
end
$$;
create trigger _600_record_deleted after delete on public.agents
  for each row when (old.deleted_at is null) execute function private.tg_agents__record_deleted();
create trigger _600_record_marked_deleted after update of deleted_at on public.agents
  for each row when (old.deleted_at is null and new.deleted_at is not null)
    execute function private.tg_agents__record_deleted();
