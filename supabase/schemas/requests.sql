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

-- Answers without raising, so that the request stays counted though the verb's work is undone.
create function private.answer(status integer, headers jsonb) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform set_config('response.status', status::text, true);
  perform set_config('response.headers',
    (select jsonb_agg(jsonb_build_object(h.key, h.value)) from jsonb_each(jsonb_strip_nulls(headers)) h)::text, true);
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

-- Runs one verb for the calling user. Definer: it is the one door from the API roles to the private verbs. It
-- authorises first (identity, rate, permission), then does the work in a subtransaction: a
-- coded error undoes the work, not the count.
create function private.handle(verb text, args jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  caller uuid;
  route private.verbs;
  headers jsonb := '{"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0"}';
  counts jsonb;
  over text;
  idempotency_key text := private.request_header('idempotency-key');
  hash text;
  known private.idempotency_keys;
  body jsonb;
  failure jsonb;
  failure_message text;
begin
  select * into strict route from private.verbs v where v.name = verb;
  begin
    caller := auth.uid();
  exception when invalid_text_representation then
    caller := null; -- signed by the project, but its subject is no user's id
  end;
  failure := private.account_refusal(caller);
  if failure is not null then
    return private.refuse(failure ->> 'code', failure ->> 'message', nullif(failure -> 'details', 'null'),
      headers || jsonb_build_object('X-RateLimit-Reset', extract(epoch from now())::bigint::text), verb, args);
  end if;

  counts := private.count_request(caller, array['api', 'api_burst']);
  headers := private.rate_headers(caller, counts);
  select c.key into over from jsonb_each(counts) c where (c.value ->> 'remaining')::integer < 0
    order by (c.value ->> 'reset')::bigint desc limit 1;
  if over is not null then
    return private.refuse('RATE_LIMIT_EXCEEDED', 'Rate limit exceeded', jsonb_build_object(
        'limit_type', over, 'limit', counts -> over -> 'limit', 'user_id', caller,
        'reset_time', private.iso(to_timestamp((counts -> over ->> 'reset')::bigint))),
      -- Of the bucket that refused: with the other's the caller would go on at once.
      headers || (private.bucket_headers(counts -> over) - 'Supabase-RateLimit-Remaining')
        || jsonb_build_object('Retry-After',
        greatest(1, (counts -> over ->> 'reset')::bigint - extract(epoch from now())::bigint)::text), verb, args);
  end if;

  if route.permission is not null and not route.permission = any (private.effective_permissions(caller)) then
    return private.refuse('INSUFFICIENT_PERMISSIONS', 'This needs the permission ' || route.permission,
      jsonb_build_object('required', route.permission), headers, verb, args);
  end if;

  begin
    if route.idempotent and idempotency_key is not null then
      if length(idempotency_key) not between 1 and 255 then
        perform private.raise_error('VALIDATION_ERROR', 'Invalid request header',
          '{"Idempotency-Key": "Must be 1 to 255 characters"}');
      end if;
      hash := encode(extensions.digest(verb || args::text, 'sha256'), 'hex');
      -- A concurrent request with the same key waits here until the first one ends.
      insert into private.idempotency_keys (user_id, key, request_hash) values (caller, idempotency_key, hash)
        on conflict do nothing;
      if not found then
        select * into strict known from private.idempotency_keys k where k.user_id = caller and k.key = idempotency_key;
        if known.request_hash <> hash then
          perform private.raise_error('IDEMPOTENCY_CONFLICT',
            'This Idempotency-Key was used for a different request', null);
        end if;
        perform private.answer(known.status, headers || '{"Idempotency-Replayed": "true"}');
        return known.response;
      end if;
    end if;

    perform private.answer(route.status, headers);
    execute format('select private.%I($1, $2)', 'verb_' || verb) into body using caller, args;

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
  return private.refuse(failure ->> 'code', failure ->> 'message', (failure ->> 'details')::jsonb, headers, verb, args);
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

create function public.refuse_request(code text, message text, details jsonb default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('refuse_request', jsonb_build_object('code', code, 'message', message, 'details', details));
end
$$;
revoke execute on function public.refuse_request(text, text, jsonb) from public, anon, service_role;
grant execute on function public.refuse_request(text, text, jsonb) to authenticated;
comment on function public.refuse_request(text, text, jsonb) is 'Counts a request and fails with the given code.';
