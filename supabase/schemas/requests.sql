-- One request of a user: who is calling, rate limits, permission, idempotency, the verb itself, errors, headers.
-- Every RPC for users is a thin invoker function in `public` that calls private.handle; the verbs themselves are
-- private functions verb_<name>(caller, args) that no API role may execute.

create table private.verbs (
  name text primary key,
  permission text,
  -- HTTP status of success.
  status integer not null default 200,
  -- Honours Idempotency-Key (POST).
  idempotent boolean not null default false
);
alter table private.verbs enable row level security;
comment on table private.verbs is 'The RPCs of users: permission, status, whether Idempotency-Key applies.';

-- Whether every table of `public` has row-level security on, from the catalogue.
create function private.user_isolation() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return not exists (
    select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not c.relrowsecurity);
end
$$;

-- Response headers as PostgREST reads them, a list of objects with one name each, from one object; and back.
create function private.header_list(headers jsonb) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return (select jsonb_agg(jsonb_build_object(h.key, h.value)) from jsonb_each(jsonb_strip_nulls(headers)) h)::text;
end
$$;
create function private.header_object(list text) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return (select jsonb_object_agg(h.key, h.value) from jsonb_array_elements(list::jsonb) e, jsonb_each(e) h);
end
$$;

-- Answers without raising, so that the request stays counted though the verb's work is undone.
create function private.answer(status integer, headers jsonb) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform set_config('response.status', status::text, true),
    set_config('response.headers', private.header_list(headers), true);
end
$$;

-- The body of an error in PostgREST's form, with the status and headers set. Nothing is raised, so what is recorded of
-- the refusal (a security event) stays.
create function private.refuse(code text, message text, details jsonb, headers jsonb, verb text default null,
  args jsonb default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  perform private.record_refusal(code, message, details, verb, args);
  perform private.answer((private.error_codes() ->> code)::integer, headers || jsonb_build_object(
    'X-User-Isolation', case when private.user_isolation() then 'active' else 'compromised' end));
  return jsonb_build_object('code', code, 'message', message, 'details', details::text, 'hint', null);
end
$$;

-- What private.admit found of a request: its verb, the caller's account, and the counters after it was counted.
create type private.admission as (
  permission text,
  status integer,
  idempotent boolean,
  -- As private.account_state has it, and when a ban ends.
  state text,
  banned_until timestamptz,
  permitted boolean,
  -- Of the answer, as PostgREST reads them. Null where the request is refused or an operator removed a limit; then
  -- counts has what private.count_request returns.
  headers text,
  counts jsonb
);

-- Who calls, whether they may, and the count of the request: two small statements, because every request to /api runs
-- them. Counts only for an active account. Locks the user's counters until commit.
create function private.admit(verb text, caller uuid) returns private.admission
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  admission private.admission;
  asked record;
  used private.api_counters;
begin
  select v.permission, v.status, v.idempotent, coalesce(u.state, 'absent') as state, u.banned_until,
      v.permission is null or exists (
        select from public.user_permissions p where p.user_id = u.id and p.permission = v.permission
          and (jsonb_typeof(u.raw_user_meta_data -> 'permissions') is distinct from 'array'
            or u.raw_user_meta_data -> 'permissions' ? p.permission)) as permitted,
      l.api, l.burst, l.rest, l.auth, l.api_seconds, l.burst_seconds,
      date_bin(make_interval(secs => l.api_seconds), now(), 'epoch') as api_starts,
      date_bin(make_interval(secs => l.burst_seconds), now(), 'epoch') as burst_starts,
      (select x.used from private.rate_counters x where x.user_id = u.id and x.bucket = 'rest_writes'
        and x.window_start = date_bin(make_interval(secs => l.rest_seconds), now(), 'epoch')) as rest_used,
      coalesce(
        (select x.used from private.auth_counters x
         where x.email_digest = sha256(convert_to(lower(btrim(u.email)), 'UTF8'))
           and x.window_start = date_bin(make_interval(secs => l.auth_seconds), now(), 'epoch')),
        (select count(*) from auth.sessions x where x.user_id = u.id and x.created_at > now() - interval '1 hour'))
        as auth_used
    into strict asked
    from private.verbs v left join private.accounts u on u.id = caller cross join (
      select max(r.max_requests) filter (where r.bucket = 'api') as api,
        max(r.window_seconds) filter (where r.bucket = 'api') as api_seconds,
        max(r.max_requests) filter (where r.bucket = 'api_burst') as burst,
        max(r.window_seconds) filter (where r.bucket = 'api_burst') as burst_seconds,
        max(r.max_requests) filter (where r.bucket = 'rest_writes') as rest,
        max(r.window_seconds) filter (where r.bucket = 'rest_writes') as rest_seconds,
        max(r.max_requests) filter (where r.bucket = 'auth') as auth,
        max(r.window_seconds) filter (where r.bucket = 'auth') as auth_seconds
      from public.rate_limits r) l
    where v.name = verb;
  admission.permission := asked.permission;
  admission.status := asked.status;
  admission.idempotent := asked.idempotent;
  admission.state := asked.state;
  admission.banned_until := asked.banned_until;
  admission.permitted := asked.permitted;
  if asked.state = 'active' then
    insert into private.api_counters as c (user_id, api_starts, api_used, burst_starts, burst_used)
      values (caller, asked.api_starts, 1, asked.burst_starts, 1)
      on conflict on constraint api_counters_pkey do update set
        api_used = case when c.api_starts = excluded.api_starts then c.api_used + 1 else 1 end,
        api_starts = excluded.api_starts,
        burst_used = case when c.burst_starts = excluded.burst_starts then c.burst_used + 1 else 1 end,
        burst_starts = excluded.burst_starts
      returning * into used;
  end if;
  if asked.permitted and used.api_used <= asked.api and used.burst_used <= asked.burst and asked.rest is not null then
    admission.headers := format('[{"X-RateLimit-Limit": "%s"}, {"X-RateLimit-Reset": "%s"}, '
        '{"X-RateLimit-Remaining": "%s"}, {"Supabase-Auth-Rate-Limit": "%s"}, {"Supabase-RateLimit-Remaining": "%s"}]',
      asked.api, date_part('epoch', asked.api_starts)::bigint + asked.api_seconds, asked.api - used.api_used,
      greatest(0, asked.auth - asked.auth_used), greatest(0, asked.rest - coalesce(asked.rest_used, 0)));
  else
    admission.counts := private.counted_api(used, asked.api, asked.api_seconds, asked.burst, asked.burst_seconds);
  end if;
  return admission;
end
$$;
comment on function private.admit(text, uuid) is 'Counts one request to /api and judges whether it may go on.';

-- The refusal of a request that was not admitted, answered and recorded; null where it may go on. headers: those that
-- an answer has without a refusal.
create function private.refuse_admission(verb text, args jsonb, caller uuid, admission private.admission,
  headers jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  refusal jsonb := private.account_refusal(admission.state, admission.banned_until);
  over jsonb;
  limit_type text;
begin
  if refusal is not null then
    return private.refuse(refusal ->> 'code', refusal ->> 'message', nullif(refusal -> 'details', 'null'),
      jsonb_build_object('X-RateLimit-Limit', '0', 'X-RateLimit-Remaining', '0',
        'X-RateLimit-Reset', extract(epoch from now())::bigint::text), verb, args);
  end if;
  select c.key, c.value into limit_type, over from jsonb_each(admission.counts) c
    where (c.value ->> 'remaining')::integer < 0 order by (c.value ->> 'reset')::bigint desc limit 1;
  if found then
    return private.refuse('RATE_LIMIT_EXCEEDED', 'Rate limit exceeded', jsonb_build_object(
        'limit_type', limit_type, 'limit', over -> 'limit', 'user_id', caller,
        'reset_time', private.iso(to_timestamp((over ->> 'reset')::bigint))),
      -- Of the bucket that refused: with the other's the caller would go on at once.
      headers || (private.bucket_headers(over) - 'Supabase-RateLimit-Remaining') || jsonb_build_object('Retry-After',
        greatest(1, (over ->> 'reset')::bigint - extract(epoch from now())::bigint)::text), verb, args);
  end if;
  if not admission.permitted then
    return private.refuse('INSUFFICIENT_PERMISSIONS', 'This needs the permission ' || admission.permission,
      jsonb_build_object('required', admission.permission), headers, verb, args);
  end if;
  return null;
end
$$;

-- Runs one verb for the calling user. Definer: it is the one door from the API roles to the private verbs. It
-- authorises first (identity, rate, permission), then does the work in a subtransaction: a
-- coded error undoes the work, not the count.
create function private.handle(verb text, args jsonb) returns json
language plpgsql volatile security definer set search_path = '' as $$
declare
  -- As auth.uid() reads it; a subject that is no user's id is nobody.
  subject text := coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub');
  caller uuid := case when pg_input_is_valid(subject, 'uuid') then subject::uuid end;
  admission private.admission := private.admit(verb, caller);
  headers jsonb;
  idempotency_key text;
  hash text;
  known private.idempotency_keys;
  body json;
  failure jsonb;
  failure_message text;
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  if admission.headers is null then
    headers := private.rate_headers(caller, admission.counts);
    body := private.refuse_admission(verb, args, caller, admission, headers);
    if body is not null then
      return body;
    end if;
    admission.headers := private.header_list(headers);
  end if;
  if admission.idempotent then
    idempotency_key := private.request_header('idempotency-key');
  end if;

  begin
    if idempotency_key is not null then
      if length(idempotency_key) not between 1 and 255 then
        perform private.raise_error('VALIDATION_ERROR', 'Invalid request header',
          '{"Idempotency-Key": "Must be 1 to 255 characters"}');
      end if;
      hash := encode(sha256(convert_to(verb || args::text, 'UTF8')), 'hex');
      -- A concurrent request with the same key waits here until the first one ends.
      insert into private.idempotency_keys (user_id, key, request_hash) values (caller, idempotency_key, hash)
        on conflict do nothing;
      if not found then
        select * into strict known from private.idempotency_keys k where k.user_id = caller and k.key = idempotency_key;
        if known.request_hash <> hash then
          perform private.raise_error('IDEMPOTENCY_CONFLICT',
            'This Idempotency-Key was used for a different request', null);
        end if;
        perform private.answer(known.status, private.header_object(admission.headers)
          || '{"Idempotency-Replayed": "true"}');
        return known.response;
      end if;
    end if;

    ignored := set_config('response.status', admission.status::text, true)
      || set_config('response.headers', admission.headers, true);
    -- A call by name is parsed and planned each time: a thirtieth of a list.
    if verb = 'list_agents' then
      body := private.verb_list_agents(caller, args);
    else
      execute format('select private.%I($1, $2)::json', 'verb_' || verb) into body using caller, args;
    end if;
    if hash is not null then
      update private.idempotency_keys k set status = current_setting('response.status')::integer, response = body
        where k.user_id = caller and k.key = idempotency_key;
    end if;
    return body;
  exception
    when sqlstate 'PGRST' then
      get stacked diagnostics failure_message = message_text;
      failure := failure_message::jsonb;
    -- A value that a type or constraint refuses and no check named before: the caller's, not ours, and counted too.
    when data_exception or integrity_constraint_violation then
      failure := jsonb_build_object('code', 'VALIDATION_ERROR', 'message', 'Invalid request body',
        'details', jsonb_build_object('body', sqlerrm)::text);
  end;
  return private.refuse(failure ->> 'code', failure ->> 'message', (failure ->> 'details')::jsonb,
    private.header_object(admission.headers), verb, args);
end
$$;
grant execute on function private.handle(text, jsonb) to authenticated;
comment on function private.handle(text, jsonb) is 'Runs one verb for the calling user.';

insert into private.verbs (name, permission, status, idempotent) values ('refuse_request', null, 400, false);

-- For the function `api`, when it must refuse a request itself: the request is counted and answered like any other.
create function private.verb_refuse_request(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  if not private.error_codes() ? coalesce(args ->> 'code', '') then
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body',
      '{"code": "Must be one of the API''s error codes"}');
  end if;
  perform private.raise_error(args ->> 'code', left(coalesce(args ->> 'message', args ->> 'code'), 500),
    nullif(args -> 'details', 'null'));
  return null;
end
$$;

create function public.refuse_request(code text, message text, details jsonb default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('refuse_request', jsonb_build_object('code', code, 'message', message, 'details', details));
end
$$;
revoke execute on function public.refuse_request(text, text, jsonb) from public, anon, service_role;
grant execute on function public.refuse_request(text, text, jsonb) to authenticated;
comment on function public.refuse_request(text, text, jsonb) is 'Counts a request and fails with the given code.';
