-- Who calls an agent at its address: judged for the agent's replicas, which keep a judgement for at most five seconds.

insert into public.rate_limits (bucket, max_requests, window_seconds) values ('public_messages', 20, 60);
comment on table public.rate_limits is
  'Requests per window: api, api_burst, rest_writes (all direct queries) by user; auth by e-mail address; '
    'public_messages by agent and caller''s address; begun_messages and begun_messages_day by agent.';

-- Strangers' messages to public agents. Unlogged, as rate_counters. The address itself is not kept.
create unlogged table private.public_callers (
  agent_id text not null,
  address_digest bytea not null,
  window_start timestamptz not null,
  used integer not null,
  constraint public_callers_pkey primary key (agent_id, address_digest)
);
alter table private.public_callers enable row level security;
create index public_callers_window_start_idx on private.public_callers (window_start);
comment on table private.public_callers is
  'Messages to public agents in the current window, by agent and keyed digest of the address.';

-- A user's own token: the owner, or someone from whom the agent is hidden. A refusal is recorded as any other probe is.
create function private.judge_user(caller uuid, a public.agents, of_agent text, need text) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  permission text := case need when 'invoke' then 'agents:write' else 'agents:read' end;
  args jsonb := jsonb_build_object('agent_id', of_agent);
begin
  if a.user_id is distinct from caller then
    return private.refuse('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
      left(of_agent, 100)),
      null, '{}', 'judge_caller', args);
  elsif not permission = any (private.effective_permissions(caller)) then
    return private.refuse('INSUFFICIENT_PERMISSIONS', 'This needs the permission ' || permission,
      jsonb_build_object('required', permission), '{}', 'judge_caller', args);
  end if;
  return jsonb_build_object('caller', 'user:' || caller, 'visibility', a.visibility);
end
$$;

-- A key of the agent: whose it is, that it lives, what it may, and from which web page. Raises INVALID_API_KEY,
-- INSUFFICIENT_PERMISSIONS. A key of another agent is as wrong as one that never was.
create function private.judge_key(a public.agents, key text, origin text, need text) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  k public.agent_keys;
begin
  select x.* into k from private.agent_key_digests d join public.agent_keys x on x.id = d.key_id
    where d.digest = private.key_digest(key);
  if not found or k.agent_id is distinct from a.id or k.revoked_at is not null or k.expires_at <= now()
     or not private.is_active_user(a.user_id) then
    perform private.raise_error('INVALID_API_KEY', 'The key is unknown, expired or revoked');
  elsif not need = any (k.scopes) then
    perform private.raise_error('INSUFFICIENT_PERMISSIONS', 'This needs a key with the scope ' || need,
      jsonb_build_object('required', need, 'scopes', to_jsonb(k.scopes)));
  elsif origin is not null and not origin = any (k.origins) then
    perform private.raise_error('INSUFFICIENT_PERMISSIONS', 'This key is not for web pages of this origin',
      jsonb_build_object('origin', left(origin, 300)));
  end if;
  -- Once a minute, and never behind another request that writes the same.
  update public.agent_keys x set last_used_at = now() where x.id in (
    select y.id from public.agent_keys y
    where y.id = k.id and (y.last_used_at is null or y.last_used_at < now() - interval '1 minute')
    for no key update skip locked);
  return jsonb_build_object('caller', 'key:' || k.id, 'visibility', a.visibility);
end
$$;

-- Who calls `of_agent`, and whether they may: the caller's own token, a key, or neither (a public agent's caller).
-- need: invoke (send messages), read (health and the like), preflight (may a web page of this origin ask at all?).
-- → {caller: 'user:<id>' | 'key:<id>' | 'public', visibility, allowed (preflight)}. Definer: keys and agents of others
-- are judged. It counts in no bucket. Raises INVALID_API_KEY, INSUFFICIENT_PERMISSIONS,
-- AGENT_NOT_FOUND, VALIDATION_ERROR.
create function private.judge_caller(of_agent text, key text, origin text, need text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  a public.agents;
  caller uuid;
begin
  if need is null or need not in ('invoke', 'read', 'preflight') then
    perform private.raise_problems('{"need": "Must be one of: invoke, read, preflight"}');
  end if;
  select * into a from public.agents x where x.id = of_agent and x.deleted_at is null;
  if need = 'preflight' then
    return jsonb_build_object('allowed', coalesce(a.visibility = 'public', false) or exists (
      select from public.agent_keys k where k.agent_id = a.id and k.revoked_at is null
        and (k.expires_at is null or k.expires_at > now()) and origin = any (k.origins)));
  elsif key is not null then
    return private.judge_key(a, key, origin, need);
  elsif current_setting('role', true) = 'authenticated' then
    begin
      caller := auth.uid();
    exception when invalid_text_representation then
      caller := null; -- signed by the project, but its subject is no user's id
    end;
    if caller is null or not private.is_active_user(caller) then
      perform private.raise_error('INVALID_API_KEY', 'The token is missing, invalid or expired');
    end if;
    return private.judge_user(caller, a, of_agent, need);
  elsif a.visibility = 'public' and need = 'invoke' and private.is_active_user(a.user_id) then
    return jsonb_build_object('caller', 'public', 'visibility', 'public');
  end if;
  perform private.raise_error('INVALID_API_KEY',
    'Send a key of this agent, or its owner''s token, as Authorization: Bearer <token>');
  return null;
end
$$;
grant execute on function private.judge_caller(text, text, text, text) to anon, authenticated;

create function public.judge_caller(agent_id text, need text, key text default null,
  origin text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.judge_caller(agent_id, key, origin, need); end $$;
revoke execute on function public.judge_caller(text, text, text, text) from public, service_role;
grant execute on function public.judge_caller(text, text, text, text) to anon, authenticated;
comment on function public.judge_caller(text, text, text, text) is 'For agents: who calls, and whether they may.';

-- Counts one message of a stranger's address to a public agent, for all its replicas together
-- → {allowed, retryAfter (seconds)}.
-- Definer: counters are private. The runtime's credential authorises: nobody else could be kept from using up the
-- counter of an address that is not theirs. Raises INSUFFICIENT_PERMISSIONS.
create function private.count_public_message(of_agent text, address text, credential text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  bucket public.rate_limits;
  starts timestamptz;
  n integer;
begin
  perform private.check_runtime(of_agent, credential);
  select * into strict bucket from public.rate_limits l where l.bucket = 'public_messages';
  starts := to_timestamp(floor(extract(epoch from now()) / bucket.window_seconds) * bucket.window_seconds);
  insert into private.public_callers as c (agent_id, address_digest, window_start, used)
    values (of_agent, extensions.hmac(address, private.message_key(of_agent), 'sha256'), starts, 1)
    on conflict on constraint public_callers_pkey do update set
      used = case when c.window_start = excluded.window_start then c.used + 1 else 1 end,
      window_start = excluded.window_start
    returning c.used into n;
  return jsonb_build_object('allowed', n <= bucket.max_requests,
    'retryAfter', ceil(extract(epoch from starts) + bucket.window_seconds - extract(epoch from clock_timestamp())));
end
$$;
grant execute on function private.count_public_message(text, text, text) to anon;

create function public.count_public_message(agent_id text, address text, credential text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.count_public_message(agent_id, address, credential); end $$;
revoke execute on function public.count_public_message(text, text, text) from public, authenticated, service_role;
grant execute on function public.count_public_message(text, text, text) to anon;
comment on function public.count_public_message(text, text, text) is
  'For agents: counts a message of a public agent''s caller.';

select cron.schedule('launchpad-public-callers', '*/10 * * * *',
  $$delete from private.public_callers c where c.window_start < now() - interval '1 hour'$$);

revoke execute on all functions in schema private from public;
