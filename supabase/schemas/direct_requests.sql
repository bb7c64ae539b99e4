-- Requests straight to /rest/v1 tables: writes counted by PostgREST's pre-request, reads judged by permission. RPCs go
-- through private.handle, which counts and judges them by itself. A GET runs read only, so it cannot be counted here;
-- where a gateway of ours stands before PostgREST it counts reads and adds them by private.count_reads.

insert into public.rate_limits (bucket, max_requests, window_seconds) values ('auth', 30, 3600);
comment on table public.rate_limits is
  'Requests per window: api, api_burst, rest_writes (all direct queries) by user; auth by e-mail address.';

-- The permission that reading a table takes, or null where signing in is enough. The policies say the same
-- (private.reader), for every other door: Realtime, and tables embedded in another's request.
create function private.read_permission("table" text) returns text
language sql immutable parallel safe set search_path = ''
return case
  when "table" in ('agents', 'agent_events', 'agent_revisions', 'agent_secrets', 'agent_conversations', 'agent_keys',
    'tools', 'agent_tools',
    'user_secrets', 'swarms', 'swarm_agents', 'messages', 'usage_daily', 'budgets') then 'agents:read'
  when "table" in ('agent_logs', 'agent_metrics', 'agent_metrics_minute', 'agent_metrics_hour') then 'monitoring:read'
end;

-- The headers that tell of one bucket, from what count_request returned of it.
create function private.bucket_headers(bucket jsonb) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(
  'X-RateLimit-Limit', bucket ->> 'limit',
  'X-RateLimit-Remaining', greatest(0, (bucket ->> 'remaining')::bigint)::text,
  'X-RateLimit-Reset', bucket ->> 'reset',
  'Supabase-RateLimit-Remaining', greatest(0, (bucket ->> 'remaining')::bigint)::text);

-- Refuses what the header asks of the planner's estimates, which know the rows of all users. As PostgREST reads it:
-- values with commas between them. Of a header that comes twice SQL is given the last alone;
-- private.one_row refuses what is asked then.
-- Raises VALIDATION_ERROR.
create function private.judge_preferences() returns void
language plpgsql stable set search_path = '' as $$
begin
  if exists (select from regexp_split_to_table(lower(private.request_header('prefer')), ',') p
      where regexp_replace(p, '\s', '', 'g') in ('count=planned', 'count=estimated'))
     or private.request_header('accept') ~* 'vnd\.pgrst\.plan' then
    perform private.refuse_estimates();
  end if;
end
$$;

-- PostgREST calls this before each request, as the request's role. Definer: counters and permissions are private. It
-- knows the caller by the verified claims alone. Raises VALIDATION_ERROR, RATE_LIMIT_EXCEEDED,
-- PERMISSION_DENIED, INVALID_JWT_TOKEN.
-- A write that fails later is rolled back and its count with it; so is the count of a refused one, which changes
-- nothing: the window stays full.
create function private.pre_request() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  path text := current_setting('request.path', true);
  method text := current_setting('request.method', true);
  caller uuid;
  permissions text[];
  needed text;
  bucket jsonb;
begin
  if current_setting('role', true) in ('anon', 'authenticated') then
    -- Seldom: most requests carry neither word in any header.
    if current_setting('request.headers', true) ~* 'planned|estimated|vnd\.pgrst\.plan' then
      perform private.judge_preferences();
    end if;
    -- PostgREST decodes names, this function compares them as they came. No name here needs an escape.
    if path like '%\%%' then
      perform private.raise_error('VALIDATION_ERROR', 'The path must not be percent-encoded',
        jsonb_build_object('path', 'Write the name of the table or function as it is'));
    end if;
  end if;
  if path is null or current_setting('role', true) is distinct from 'authenticated' then
    return;
  end if;
  -- Verbs judge and count their caller themselves (private.handle), so that a refusal is recorded.
  -- By the name of its function: a look into private.verbs would be a statement.
  if starts_with(path, '/rpc/')
     and to_regprocedure(format('private.%I(uuid, jsonb)', 'verb_' || substr(path, 6))) is not null then
    return;
  end if;
  caller := auth.uid();
  if caller is null then
    return;
  end if;
  perform private.require_active(caller);
  -- What is no verb counts as a direct query: tables, GraphQL (one RPC that reads and writes tables), health_check and
  -- check_rls_policies.
  permissions := private.effective_permissions(caller);
  perform set_config('launchpad.permissions', caller || ' ' || array_to_string(permissions, ' '), true);
  -- From the next statement on, for this request alone. A slow read keeps others waiting; RPCs
  -- and writes have the role's 8 s.
  if method in ('GET', 'HEAD') or path = '/rpc/graphql' then
    perform set_config('statement_timeout', '3s', true);
  end if;
  if method in ('GET', 'HEAD') then
    needed := private.read_permission(ltrim(path, '/'));
    if needed is not null and not needed = any (permissions) then
      perform private.raise_error('PERMISSION_DENIED', 'This needs the permission ' || needed,
        jsonb_build_object('required', needed));
    end if;
  -- PostgREST runs a POST to a stable function read only. None of those is for users: the privilege refuses them.
  elsif method in ('POST', 'PUT', 'PATCH', 'DELETE') and not current_setting('transaction_read_only')::boolean then
    bucket := private.count_request(caller, array['rest_writes']) -> 'rest_writes';
    if (bucket ->> 'remaining')::bigint < 0 then
      perform private.raise_error('RATE_LIMIT_EXCEEDED', 'Rate limit exceeded', jsonb_build_object(
          'limit_type', 'supabase_queries', 'limit', bucket -> 'limit', 'user_id', caller,
          'reset_time', private.iso(to_timestamp((bucket ->> 'reset')::bigint))),
        private.bucket_headers(bucket) || jsonb_build_object('Retry-After',
          greatest(1, (bucket ->> 'reset')::bigint - extract(epoch from now())::bigint)::text));
    end if;
    perform set_config('response.headers',
      (select jsonb_agg(jsonb_build_object(h.key, h.value)) from jsonb_each(private.bucket_headers(bucket)) h)::text,
        true);
  end if;
end
$$;
-- PostgREST runs it as whichever role the token names, anon too; it does nothing for anon.
grant usage on schema private to anon;
grant execute on function private.pre_request() to anon, authenticated, service_role;
comment on function private.pre_request() is 'Before each request to /rest/v1: counts writes, judges reads.';
-- Pages of an index walk come from memory or an SSD; at the default of 4 the planner would
-- sort all of a user's agents to show 20.
do $$
begin
  alter role authenticator set random_page_cost = 1.1;
exception when insufficient_privilege then
  raise notice 'random_page_cost of authenticator is left as it is';
end
$$;
alter role authenticator set pgrst.db_pre_request = 'private.pre_request';
notify pgrst, 'reload config';

-- Adds reads that a gateway let through to the bucket of direct queries: {"<user id>": n, …} → the same keys with
-- {limit, used, reset}. Called by the embedded stack's gateway, some times a second for all users together.
-- Definer: service_role has no rights on private tables.
create function private.count_reads(reads jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
  with l as (
    select x.max_requests, x.window_seconds,
      to_timestamp(floor(extract(epoch from now()) / x.window_seconds) * x.window_seconds) as starts
    from public.rate_limits x where x.bucket = 'rest_writes'
  ), counted as (
    insert into private.rate_counters as c (user_id, bucket, window_start, used)
    select r.key::uuid, 'rest_writes', l.starts, r.value::integer from jsonb_each_text(reads) r, l order by 1
    on conflict (user_id, bucket) do update set
      used = case when c.window_start = excluded.window_start then c.used + excluded.used else excluded.used end,
      window_start = excluded.window_start
    returning c.user_id, c.used
  )
  select coalesce(jsonb_object_agg(c.user_id, jsonb_build_object('limit', l.max_requests, 'used', c.used,
    'reset', extract(epoch from l.starts)::bigint + l.window_seconds)), '{}')
  from counted c, l
$$;
grant execute on function private.count_reads(jsonb) to service_role;

create function public.count_reads(reads jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.count_reads(reads); end $$;
revoke execute on function public.count_reads(jsonb) from public, anon, authenticated;
grant execute on function public.count_reads(jsonb) to service_role;
comment on function public.count_reads(jsonb) is 'Gateway: adds direct reads to their users'' budgets.';

-- Auth requests by e-mail address, counted by a gateway of ours. The address itself is not
-- kept. Unlogged, as rate_counters.
create unlogged table private.auth_counters (
  email_digest bytea primary key,
  window_start timestamptz not null,
  used integer not null
);
alter table private.auth_counters enable row level security;
comment on table private.auth_counters is 'Auth requests in the current window, by digest of the e-mail address.';

create function private.email_digest(email text) returns bytea
language plpgsql immutable set search_path = '' as $$
begin
  return sha256(convert_to(lower(btrim(email)), 'UTF8'));
end
$$;

-- Counts one auth request for an address → {limit, remaining (negative: over), reset}.
-- Definer: as above.
create function private.count_auth_request(email text) returns jsonb
language sql volatile security definer set search_path = '' as $$
  with l as (
    select x.max_requests, x.window_seconds,
      to_timestamp(floor(extract(epoch from now()) / x.window_seconds) * x.window_seconds) as starts
    from public.rate_limits x where x.bucket = 'auth'
  ), counted as (
    insert into private.auth_counters as c (email_digest, window_start, used)
    select private.email_digest(email), l.starts, 1 from l
    on conflict (email_digest) do update set
      used = case when c.window_start = excluded.window_start then c.used + 1 else 1 end,
      window_start = excluded.window_start
    returning c.used
  )
  select jsonb_build_object('limit', l.max_requests, 'remaining', l.max_requests - c.used,
    'reset', extract(epoch from l.starts)::bigint + l.window_seconds)
  from l, counted c
$$;
grant execute on function private.count_auth_request(text) to service_role;

create function public.count_auth_request(email text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.count_auth_request(email); end $$;
revoke execute on function public.count_auth_request(text) from public, anon, authenticated;
grant execute on function public.count_auth_request(text) to service_role;
comment on function public.count_auth_request(text) is 'Gateway: counts an auth request for an e-mail address.';

-- Auth requests of an account in this hour: those a gateway of ours counted, else (hosted) the sessions begun.
create function private.auth_requests_last_hour(of_user uuid) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(
    (select c.used from private.auth_counters c, public.rate_limits l
     where l.bucket = 'auth' and c.email_digest = (select private.email_digest(u.email) from auth.users u
       where u.id = of_user)
       and c.window_start = to_timestamp(floor(extract(epoch from now()) / l.window_seconds) * l.window_seconds)),
    (select count(*)::integer from auth.sessions s where s.user_id = of_user
      and s.created_at > now() - interval '1 hour'));
end
$$;

-- The documented rate-limit headers, from what count_request returned.
create function private.rate_headers(caller uuid, counts jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'X-RateLimit-Limit', counts -> 'api' ->> 'limit',
    'X-RateLimit-Remaining', greatest(0, (counts -> 'api' ->> 'remaining')::integer)::text,
    'X-RateLimit-Reset', counts -> 'api' ->> 'reset',
    'Supabase-RateLimit-Remaining', private.remaining(caller, 'rest_writes')::text,
    'Supabase-Auth-Rate-Limit', greatest(0, (select l.max_requests from public.rate_limits l where l.bucket = 'auth')
      - private.auth_requests_last_hour(caller))::text);
end
$$;
