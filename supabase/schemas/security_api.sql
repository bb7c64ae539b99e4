-- The verbs about security.

insert into private.verbs (name, permission, status, idempotent) values
  ('list_security_events', 'monitoring:read', 200, false),
  ('scan_agent', 'agents:write', 200, true);

-- GET /api/security/events: newest first. total counts all that match, up to 10000.
create function private.verb_list_security_events(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  most integer := coalesce((args ->> 'limit')::integer, 50);
  wanted_severity text := upper(args ->> 'severity');
  wanted_type text := upper(args ->> 'event_type');
  since text := args ->> 'since';
  binding text := private.list_binding('security_events', caller,
    jsonb_build_array(wanted_severity, wanted_type, since));
  last_seen text[];
  newest timestamptz := 'infinity';
  oldest timestamptz := '-infinity';
  page jsonb;
begin
  perform private.raise_query_problems(
    private.problem_if(most not between 1 and 500, 'limit', 'Must be a whole number from 1 to 500')
    || private.problem_if(wanted_severity not in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL'),
      'severity', 'Must be LOW, MEDIUM, HIGH or CRITICAL')
    || private.problem_if(wanted_type !~ '^[A-Z][A-Z_]{0,63}$', 'event_type', 'Must be a name such as AUTH_FAILURE')
    || private.problem_if(since !~
      '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$'
         or not pg_input_is_valid(since, 'timestamptz'), 'since', 'Must be a time such as 2026-01-15T13:25:00Z'));
  if since is not null then
    -- A time without a zone is UTC, whatever the session's.
    oldest := case when since ~ '(Z|[+-][0-9]{2}:?[0-9]{2})$' and since ~ ':' then since::timestamptz
                  else since::timestamp at time zone 'UTC' end;
  end if;
  last_seen := private.cursor_keys(args ->> 'after', binding, '{timestamptz,text}');
  newest := coalesce(last_seen[1]::timestamptz, newest);
  select private.page('events',
      jsonb_agg(jsonb_build_object('id', e.id, 'event_type', e.event_type, 'severity', e.severity,
        'user_id', e.user_id, 'agent_id', e.agent_id, 'message', e.message, 'timestamp', private.iso(e."timestamp"),
        'ip_address', host(e.ip_address), 'user_agent', e.user_agent, 'details', e.details,
        'automated_response', e.automated_response) order by e."timestamp" desc, e.id),
      jsonb_agg(jsonb_build_array(private.moment_key(e."timestamp"), e.id) order by e."timestamp" desc, e.id),
        most, binding)
    into page
    from (
      select * from public.security_events x
      where x.user_id = caller and x."timestamp" >= oldest
        and x."timestamp" <= newest and (x."timestamp" < newest or x.id > last_seen[2])
        and (wanted_severity is null or x.severity = wanted_severity)
        and (wanted_type is null or x.event_type = wanted_type)
      order by x."timestamp" desc, x.id limit most + 1) e;
  return page || jsonb_build_object(
    'total', (
      select count(*) from (
        select from public.security_events x
        where x.user_id = caller and x."timestamp" >= oldest
          and (wanted_severity is null or x.severity = wanted_severity)
          and (wanted_type is null or x.event_type = wanted_type) limit 10000) e),
    'user_id', caller);
end
$$;

-- POST /api/security/scan/{id}. Raises AGENT_NOT_FOUND.
create function private.verb_scan_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  verdict jsonb := private.assess(a);
  counts jsonb := verdict #> '{results,vulnerabilities}';
  scan public.security_scans;
  event_id text;
begin
  insert into public.security_scans (agent_id, user_id, status, passed, results, findings)
    values (a.id, caller, 'COMPLETED', (verdict ->> 'passed')::boolean, verdict -> 'results', verdict -> 'findings')
    returning * into scan;
  event_id := private.record_security_event('SECURITY_SCAN', caller,
    case when scan.passed then 'Security scan passed' else 'Security scan not passed' end, a.id,
    jsonb_build_object('scan_id', scan.id, 'passed', scan.passed, 'vulnerabilities', counts),
    case when (counts ->> 'critical')::integer > 0 then 'CRITICAL' when (counts ->> 'high')::integer > 0 then 'HIGH'
         when (counts ->> 'medium')::integer > 0 then 'MEDIUM' else 'LOW' end);
  return jsonb_build_object('agentId', a.id, 'user_id', caller, 'scanId', scan.id, 'status', scan.status,
    'results', jsonb_build_object('passed', scan.passed) || scan.results
      || jsonb_build_object('findings', scan.findings),
    'security_event_logged', exists (select from public.security_events e where e.id = event_id),
    'scannedAt', private.iso(scan.scanned_at));
end
$$;

create function public.list_security_events("limit" integer default 50, severity text default null,
  event_type text default null,
  since text default null, "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('list_security_events', jsonb_build_object('limit', "limit", 'severity', severity,
    'event_type', event_type, 'since', since, 'after', "after"));
end $$;
create function public.scan_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('scan_agent', jsonb_build_object('agent_id', agent_id)); end $$;
revoke execute on function public.list_security_events(integer, text, text, text, text), public.scan_agent(text)
  from public, anon, service_role;
grant execute on function public.list_security_events(integer, text, text, text, text), public.scan_agent(text)
  to authenticated;
comment on function public.list_security_events(integer, text, text, text, text) is
  'The caller''s security events, newest first.';
comment on function public.scan_agent(text) is
  'Scans one agent: posture, known vulnerabilities, the database''s controls.';

revoke execute on all functions in schema private from public;
