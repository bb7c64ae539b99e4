-- The agent's door: keys that call an agent at its own address, and the one judgement of who calls. Replicas ask it
-- (packages/agent-runtime), so that the rules are the same wherever they run.

-- A key is shown once, when it is made. What is kept here is what its owner may read; its digest is
-- private.agent_key_digests.
create table public.agent_keys (
  id uuid primary key default gen_random_uuid(),
  agent_id text not null references public.agents (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  -- The first characters of the key, to tell keys apart.
  prefix text not null,
  scopes text[] not null,
  -- Web pages (origins) that may use the key; empty: none, only programs.
  origins text[] not null default '{}',
  expires_at timestamptz,
  -- Written by private.judge_caller, at most once a minute.
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  constraint agent_keys_scopes_known check (scopes <@ array['invoke', 'read'])
);
alter table public.agent_keys enable row level security;
create index agent_keys_agent_id_created_at_idx on public.agent_keys (agent_id, created_at desc);
create index agent_keys_user_id_idx on public.agent_keys (user_id);
grant select on public.agent_keys to authenticated, service_role;
create policy "owners can read their agents' keys" on public.agent_keys for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.agent_keys is
  'Keys that call an agent at its address; made and revoked through the API, never readable.';

create table private.agent_key_digests (
  digest bytea primary key,
  key_id uuid not null references public.agent_keys (id) on delete cascade
);
alter table private.agent_key_digests enable row level security;
create index agent_key_digests_key_id_idx on private.agent_key_digests (key_id);
comment on table private.agent_key_digests is 'SHA-256 of each agent key: all that is kept of the key itself.';

create function private.key_digest(key text) returns bytea
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return extensions.digest(key, 'sha256');
end
$$;

insert into private.verbs (name, permission, status, idempotent) values
  -- Not idempotent: a stored answer would hold the key.
  ('create_agent_key', 'agents:write', 201, false),
  ('list_agent_keys', 'agents:read', 200, false),
  ('revoke_agent_key', 'agents:write', 204, false);

create function private.key_answer(k public.agent_keys) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_object('id', k.id, 'name', k.name, 'prefix', k.prefix, 'scopes', to_jsonb(k.scopes),
    'origins', to_jsonb(k.origins), 'expiresAt', private.iso(k.expires_at), 'createdAt', private.iso(k.created_at));
end
$$;

-- An origin as browsers write it: scheme, host in lower case, and a port that is not the scheme's own.
create function private.is_origin(value text) returns boolean
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return length(value) <= 300 and value ~
    '^https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$'
    and value !~ '^https://.*:443$' and value !~ '^http://.*:80$';
end
$$;

-- When a key ends, from the request; null where that is no moment between now and ten years on.
create function private.key_expiry(value jsonb) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  moment timestamptz;
begin
  if not private.is_timestamp(value) then
    return null;
  end if;
  moment := (value #>> '{}')::timestamptz;
  return case when moment > now() and moment < now() + interval '10 years' then moment end;
exception when data_exception then
  return null; -- a day that no calendar has
end
$$;

-- Field → problem of the body of POST /api/agents/{id}/keys.
create function private.key_problems(body jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(body,
    '{"name": "string 1 100!", "scopes": "array 2", "expiresAt": "string", "origins": "strings 20"}');
  scopes jsonb;
begin
  if jsonb_typeof(body) is distinct from 'object' then
    return problems;
  end if;
  if not problems ? 'scopes' then
    scopes := coalesce(nullif(body -> 'scopes', 'null'), '["invoke"]');
    problems := problems || private.problem_if(scopes = '[]', 'scopes', 'Must be "invoke", "read" or both')
      || (select coalesce(jsonb_object_agg('scopes.' || s.place - 1, 'Must be "invoke" or "read"'), '{}')
          from jsonb_array_elements(scopes) with ordinality as s (scope, place)
            where s.scope not in ('"invoke"', '"read"'));
  end if;
  if not exists (select from jsonb_object_keys(problems) p where p like 'origins%') then
    problems := problems || (select coalesce(jsonb_object_agg('origins.' || o.place - 1,
        'Must be an origin such as "https://app.example.com": scheme, host in lower case, port if it is not the '
          'default'), '{}')
      from unnest(private.texts(nullif(body -> 'origins', 'null'))) with ordinality as o (origin, place)
      where not private.is_origin(o.origin));
  end if;
  if not problems ? 'expiresAt' and nullif(body -> 'expiresAt', 'null') is not null then
    problems := problems || private.problem_if(private.key_expiry(body -> 'expiresAt') is null, 'expiresAt',
      'Must be a timestamp such as 2027-01-15T10:30:00Z, in the future and within ten years');
  end if;
  return problems;
end
$$;

-- POST /api/agents/{id}/keys. Raises VALIDATION_ERROR, RESOURCE_LIMIT_EXCEEDED,
-- AGENT_NOT_FOUND, CONFLICT. Locks the agent.
create function private.verb_create_agent_key(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  most constant integer := 20;
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  body jsonb := coalesce(args -> 'key', 'null');
  secret text := 'lp_' || rtrim(translate(encode(extensions.gen_random_bytes(32), 'base64'), '+/', '-_'), '=');
  k public.agent_keys;
begin
  if a.deleted_at is not null then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', '{"phase": "DELETING"}');
  end if;
  perform private.raise_problems(private.key_problems(body));
  if (select count(*) from public.agent_keys x where x.agent_id = a.id and x.revoked_at is null) >= most then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', format('This agent has %s; revoke one first',
      private.counted(most, 'key')),
      jsonb_build_object('quota', 'agent_keys', 'limit', most));
  end if;
  -- Of revoked keys the newest are kept, to be looked up; the rest would grow without bound.
  delete from public.agent_keys x where x.id in (
    select old.id from public.agent_keys old where old.agent_id = a.id and old.revoked_at is not null
    order by old.revoked_at desc offset most);
  insert into public.agent_keys (agent_id, user_id, name, prefix, scopes, origins, expires_at)
    values (a.id, caller, body ->> 'name', left(secret, 11),
      coalesce((select array_agg(distinct s order by s)
        from jsonb_array_elements_text(nullif(body -> 'scopes', 'null')) s), '{invoke}'),
      coalesce((select array_agg(distinct o order by o)
        from jsonb_array_elements_text(nullif(body -> 'origins', 'null')) o), '{}'),
      private.key_expiry(body -> 'expiresAt'))
    returning * into k;
  insert into private.agent_key_digests (digest, key_id) values (private.key_digest(secret), k.id);
  -- Without the name: events outlive the account, and names are its user's words.
  perform private.record_event(a.id, caller, 'KEY_CREATED', 'user:' || caller, 'Key created', null, null, null, null,
    jsonb_build_object('key_id', k.id, 'scopes', to_jsonb(k.scopes)));
  return private.key_answer(k) || jsonb_build_object('key', secret);
end
$$;

-- GET /api/agents/{id}/keys, newest first; revoked ones too.
create function private.verb_list_agent_keys(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  most integer := coalesce((args ->> 'limit')::integer, 20);
  skip integer := coalesce((args ->> 'offset')::integer, 0);
  binding text := private.list_binding('keys', caller, jsonb_build_array(a.id));
  last_seen text[];
  newest timestamptz := 'infinity';
  page jsonb;
begin
  perform private.check_page(most, skip, args ->> 'after');
  last_seen := private.cursor_keys(args ->> 'after', binding, '{timestamptz,uuid}');
  newest := coalesce(last_seen[1]::timestamptz, newest);
  select private.page('keys',
      jsonb_agg(private.key_answer(k) || jsonb_build_object('lastUsedAt', private.iso(k.last_used_at),
        'revokedAt', private.iso(k.revoked_at)) order by k.created_at desc, k.id),
      jsonb_agg(jsonb_build_array(private.moment_key(k.created_at), k.id) order by k.created_at desc, k.id),
        most, binding)
    into page
    from (
      select * from public.agent_keys x
      where x.agent_id = a.id and x.created_at <= newest and (x.created_at < newest or x.id > last_seen[2]::uuid)
      order by x.created_at desc, x.id limit most + 1 offset skip) k;
  return page || jsonb_build_object(
    'total', (select count(*) from public.agent_keys x where x.agent_id = a.id), 'limit', most, 'offset', skip);
end
$$;

-- DELETE /api/agents/{id}/keys/{keyId}. A key that is revoked already stays so. Raises NOT_FOUND, AGENT_NOT_FOUND.
create function private.verb_revoke_agent_key(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  k public.agent_keys;
begin
  select * into k from public.agent_keys x where x.agent_id = a.id and x.id::text = lower(args ->> 'key_id');
  if not found then
    perform private.raise_error('NOT_FOUND', 'This agent has no such key', '{"keyId": "Must be a key of this agent"}');
  end if;
  if k.revoked_at is null then
    update public.agent_keys x set revoked_at = now() where x.id = k.id;
    delete from private.agent_key_digests d where d.key_id = k.id;
    perform private.record_event(a.id, caller, 'KEY_REVOKED', 'user:' || caller, 'Key revoked', null, null, null, null,
      jsonb_build_object('key_id', k.id));
  end if;
  return null;
end
$$;

create function public.create_agent_key(agent_id text, key jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('create_agent_key', jsonb_build_object('agent_id', agent_id, 'key', key)); end $$;
create function public.list_agent_keys(agent_id text, "limit" integer default 20, "offset" integer default 0,
  "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('list_agent_keys', jsonb_build_object('agent_id', agent_id, 'limit', "limit",
    'offset', "offset",
    'after', "after"));
end $$;
create function public.revoke_agent_key(agent_id text, key_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('revoke_agent_key', jsonb_build_object('agent_id', agent_id, 'key_id', key_id)); end $$;
revoke execute on function public.create_agent_key(text, jsonb), public.list_agent_keys(text, integer, integer, text),
  public.revoke_agent_key(text, text) from public, anon, service_role;
grant execute on function public.create_agent_key(text, jsonb), public.list_agent_keys(text, integer, integer, text),
  public.revoke_agent_key(text, text) to authenticated;
comment on function public.create_agent_key(text, jsonb) is
  'Makes a key for an agent''s address; the answer alone holds it.';
comment on function public.list_agent_keys(text, integer, integer, text) is
  'An agent''s keys, newest first, without the keys themselves.';
comment on function public.revoke_agent_key(text, text) is 'Revokes a key of an agent for good.';

-- One event per change of who may call the agent. Returns its id.
create function private.record_visibility(before public.agents, after public.agents, actor text) returns text
language plpgsql volatile set search_path = '' as $$
begin
  return private.record_event(after.id, after.user_id, 'VISIBILITY_CHANGED', actor,
    format('Agent is now %s', after.visibility),
    null, null, null, null, jsonb_build_object('from', before.visibility, 'to', after.visibility));
end
$$;

-- Records a direct change of who may call the agent; the verb records its own. Definer: writes the event log.
create function private.tg_agents__record_visibility() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.record_visibility(old, new, coalesce('user:' || (select auth.uid())::text, 'system'));
  return null;
end
$$;
create trigger _510_record_visibility after update of visibility on public.agents
  for each row when (new.visibility is distinct from old.visibility
    and new.id is distinct from current_setting('launchpad.written_by_verb', true))
  execute function private.tg_agents__record_visibility();

revoke execute on all functions in schema private from public;
