-- Tools that agents may use, which agent uses which, and the secrets of users that tools and providers are called with.

create table public.tools (
  id uuid primary key default gen_random_uuid(),
  -- Null: built in, offered to everybody.
  user_id uuid default auth.uid() references auth.users (id) on delete cascade,
  name text not null,
  description text not null,
  category text,
  icon text,
  -- JSON Schema of the arguments; the function `respond` refuses a call that does not fit.
  input_schema jsonb not null default '{"type": "object", "properties": {}}',
  -- How it runs: {"type": "http", "method", "url", "headers"}, or {"type": "builtin", "name"} for those without a user.
  implementation jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tools_user_id_name_key unique nulls not distinct (user_id, name)
);
alter table public.tools enable row level security;
grant select, delete on public.tools to authenticated;
grant insert (user_id, name, description, category, icon, input_schema, implementation) on public.tools
  to authenticated;
grant update (name, description, category, icon, input_schema, implementation) on public.tools to authenticated;
grant select, insert, update, delete on public.tools to service_role;
create policy "users can read built-in tools and their own" on public.tools for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row())
    or (user_id is null and (select private.may('agents:read'))));
create policy "users can make tools" on public.tools for insert to authenticated
  with check ((select auth.uid()) = user_id);
create policy "owners can change their tools" on public.tools for update to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "owners can delete their tools" on public.tools for delete to authenticated
  using ((select auth.uid()) = user_id);
-- Raises PERMISSION_DENIED for a user without agents:write, as on agents.
create trigger _050_authorise before insert or update or delete on public.tools
  for each statement when (current_user = 'authenticated') execute function private.tg_agents__authorise();
create trigger _060_own before insert on public.tools
  for each row when (current_user = 'authenticated') execute function private.tg_rows__own();
comment on table public.tools is 'What agents can call: built-in tools, and HTTP tools that users define.';

-- What is wrong with an HTTP tool's address, method and headers: field → problem.
create function private.http_tool_problems(http jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(http,
    '{"type": "string!", "method": "string", "url": "string!", "headers": "object"}',
    'implementation.');
  header record;
begin
  if not problems ? 'implementation.method' and coalesce(http ->> 'method', 'GET') not in
    ('GET', 'POST', 'PUT', 'PATCH', 'DELETE') then
    problems := problems || '{"implementation.method": "Must be one of: GET, POST, PUT, PATCH, DELETE"}';
  end if;
  -- Placeholders may stand behind the host alone: an argument must not choose where a secret goes.
  if not problems ? 'implementation.url' and (http ->> 'url' !~ '^https?://[A-Za-z0-9._:\[\]-]+([/?#]|$)'
    or http ->> 'url' ~ '\s'
      or length(http ->> 'url') > 2048) then
    problems := problems
      || '{"implementation.url": "Must be an http or https URL with a fixed host, of at most 2048 characters"}';
  end if;
  if jsonb_typeof(http -> 'headers') = 'object' then
    if (select count(*) from jsonb_object_keys(http -> 'headers')) > 20 then
      return problems || '{"implementation.headers": "Must have at most 20 entries"}';
    end if;
    for header in select * from jsonb_each(http -> 'headers') loop
      if header.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,100}$'
         or lower(header.key) in ('host', 'connection', 'content-length', 'transfer-encoding',
           'te', 'upgrade', 'expect') then
        problems := problems || jsonb_build_object('implementation.headers.' || left(header.key, 100),
          'Is not a header a tool may set');
      elsif jsonb_typeof(header.value) <> 'string' or header.value #>> '{}' !~ '^[ -~]*$'
        or length(header.value #>> '{}') > 1000 then
        problems := problems || jsonb_build_object('implementation.headers.' || header.key,
          'Must be printable ASCII of at most 1000 characters');
      end if;
    end loop;
  end if;
  return problems;
end
$$;

-- The names that a template's `{{name}}` placeholders stand for; the function `respond` fills the same (http-tool.ts).
create function private.template_names(template text) returns setof text
language plpgsql immutable set search_path = '' as $$
begin
  return query select m[1] from regexp_matches(template, '\{\{\s*([^{}\s](?:[^{}]*[^{}\s])?)\s*\}\}', 'g') m;
end
$$;
comment on function private.template_names(text) is 'The names in a template''s {{placeholders}}.';

-- Placeholders that nothing can fill, and a content type that no body can be made for: field → problem.
-- Takes an implementation and an input_schema that have passed their own checks.
create function private.http_template_problems(http jsonb, input_schema jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '{}';
  field record;
  missing text;
begin
  for field in select 'implementation.url' as name, http ->> 'url' as template
      union all select 'implementation.headers.' || h.key, h.value
        from jsonb_each_text(coalesce(nullif(http -> 'headers', 'null'), '{}')) h loop
    select n into missing from private.template_names(field.template) n
      where n <> 'api_key' and not coalesce(input_schema -> 'properties' ? n, false) limit 1;
    if missing is not null then
      problems := problems || jsonb_build_object(field.name,
        format('{{%s}} has no value: add %s to the properties of input_schema, or use {{api_key}} for the secret',
          left(missing, 100), left(missing, 100)));
    end if;
    if lower(field.name) = 'implementation.headers.content-type'
        and field.template !~* '^application/(json|[a-z0-9.-]+\+json|x-www-form-urlencoded)\s*(;.*)?$' then
      problems := problems || jsonb_build_object(field.name,
        'Must be application/json or application/x-www-form-urlencoded: no other body can be made from arguments');
    end if;
  end loop;
  return problems;
end
$$;
comment on function private.http_template_problems(jsonb, jsonb) is
  'Field → problem of an HTTP tool''s placeholders and content type.';

-- What is wrong with a tool's row: column → problem.
create function private.tool_problems(t public.tools) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := private.problem_if(private.is_blank(t.name), 'name', 'Name is required')
    || private.problem_if(length(t.name) > 64, 'name', 'Name must be 1 to 64 characters')
    || private.problem_if(private.is_blank(t.description), 'description', 'Description is required')
    || private.problem_if(length(t.description) > 1000, 'description', 'Must be at most 1000 characters')
    || private.problem_if(length(t.category) > 100, 'category', 'Must be at most 100 characters')
    || private.problem_if(length(t.icon) > 2048, 'icon', 'Must be at most 2048 characters');
begin
  if jsonb_typeof(t.input_schema) is distinct from 'object' or t.input_schema ->> 'type' is distinct from 'object'
     or jsonb_typeof(t.input_schema -> 'properties') not in ('object', 'null') then
    problems := problems || '{"input_schema": "Must be a JSON Schema of type object"}';
  elsif octet_length(t.input_schema::text) > 16384 then
    problems := problems || '{"input_schema": "Must be at most 16 KiB of JSON"}';
  elsif jsonb_path_exists(t.input_schema, '$.**.patternProperties') then
    problems := problems || '{"input_schema": "patternProperties is not supported"}';
  elsif exists (select from jsonb_path_query(t.input_schema, '$.**.pattern ? (@.type() == "string")') as p(pattern)
      where not private.is_calm_pattern(p.pattern #>> '{}')) then
    problems := problems || '{"input_schema": "A pattern must be at most 200 characters, without repeated groups, '
      'lookarounds, backreferences and options, with at most 3 of * and +"}';
  end if;
  if jsonb_typeof(t.implementation) is distinct from 'object' then
    problems := problems || '{"implementation": "Must be an object"}';
  elsif t.implementation ->> 'type' = 'http' then
    problems := problems || private.http_tool_problems(t.implementation);
    if problems = '{}' then
      problems := private.http_template_problems(t.implementation, t.input_schema);
    end if;
  elsif t.implementation ->> 'type' = 'builtin' and t.user_id is null then
    problems := problems || private.shape_problems(t.implementation, '{"type": "string!", "name": "string!"}',
      'implementation.');
  else
    problems := problems || '{"implementation.type": "Must be http"}';
  end if;
  return problems;
end
$$;
comment on function private.tool_problems(public.tools) is 'Column → problem of a tool''s row.';

-- Definer: the checks read private helpers. Raises VALIDATION_ERROR.
create function private.tg_tools__validate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.raise_problems(private.tool_problems(new));
  new.updated_at := now();
  return new;
end
$$;
create trigger _200_validate before insert or update on public.tools
  for each row execute function private.tg_tools__validate();

insert into public.tools (user_id, name, description, category, icon, input_schema, implementation) values
  (null, 'current_time', 'Tells the current date and time, in UTC or in a given time zone.', 'utility', 'clock',
   '{"type": "object", "properties": {"time_zone": {"type": "string", "maxLength": 64, "description": "IANA name such '
     'as Europe/Berlin; UTC when absent"}}, "additionalProperties": false}',
   '{"type": "builtin", "name": "current_time"}'),
  (null,
    'calculator',
    'Evaluates an arithmetic expression: + - * / % ^, parentheses, and functions such as sqrt, min, max, round.',
    'utility', 'calculator',
   '{"type": "object", "properties": {"expression": {"type": "string", "minLength": 1, "maxLength": 500}}, "required": '
     '["expression"], "additionalProperties": false}',
   '{"type": "builtin", "name": "calculator"}'),
  (null, 'http_request', 'Fetches a URL of a host on this agent''s allow-list.', 'web', 'globe',
   '{"type": "object", "properties": {"url": {"type": "string", "maxLength": 2048}, "method": {"type": "string", '
     '"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"], "default": "GET"}, "body": {"type": "string", "maxLength": '
     '65536}}, "required": ["url"], "additionalProperties": false}',
   '{"type": "builtin", "name": "http_request"}'),
  (null, 'conversation_search', 'Searches earlier messages of this conversation.', 'memory', 'search',
   '{"type": "object", "properties": {"query": {"type": "string", "minLength": 1, "maxLength": 200}, "limit": {"type": '
     '"integer", "minimum": 1, "maximum": 20}}, "required": ["query"], "additionalProperties": false}',
   '{"type": "builtin", "name": "conversation_search"}');

create table public.agent_tools (
  id uuid primary key default gen_random_uuid(),
  agent_id text not null references public.agents (id) on delete cascade,
  tool_id uuid not null references public.tools (id) on delete cascade,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  enabled boolean not null default true,
  -- api_key_ref names a secret of the user; allowed_hosts is http_request's list; default_<argument> fills an argument.
  configuration jsonb not null default '{}',
  created_at timestamptz not null default now(),
  constraint agent_tools_agent_id_tool_id_key unique (agent_id, tool_id)
);
alter table public.agent_tools enable row level security;
create index agent_tools_tool_id_idx on public.agent_tools (tool_id);
create index agent_tools_user_id_idx on public.agent_tools (user_id);
grant select, delete on public.agent_tools to authenticated;
grant insert (agent_id, tool_id, user_id, enabled, configuration) on public.agent_tools to authenticated;
grant update (enabled, configuration) on public.agent_tools to authenticated;
grant select, insert, update, delete on public.agent_tools to service_role;
create policy "owners can read their agents' tools" on public.agent_tools for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "owners can assign tools to their agents" on public.agent_tools for insert to authenticated
  with check ((select auth.uid()) = user_id);
create policy "owners can configure their agents' tools" on public.agent_tools for update to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "owners can take tools from their agents" on public.agent_tools for delete to authenticated
  using ((select auth.uid()) = user_id);
create trigger _050_authorise before insert or update or delete on public.agent_tools
  for each statement when (current_user = 'authenticated') execute function private.tg_agents__authorise();
create trigger _060_own before insert on public.agent_tools
  for each row when (current_user = 'authenticated') execute function private.tg_rows__own();
comment on table public.agent_tools is 'Which agent may use which tool, and how.';

create function private.tool_configuration_problems(configuration jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if jsonb_typeof(configuration) is distinct from 'object' then
    return '{"configuration": "Must be an object"}';
  end if;
  return private.problem_if(octet_length(configuration::text) > 16384,
    'configuration', 'Must be at most 16 KiB of JSON')
    || private.problem_if(configuration ? 'api_key_ref' and (jsonb_typeof(configuration -> 'api_key_ref') <> 'string'
         or configuration ->> 'api_key_ref' !~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
         'configuration.api_key_ref', 'Must be the name of a secret of yours')
    || private.problem_if(configuration ? 'allowed_hosts' and (jsonb_typeof(configuration -> 'allowed_hosts') <> 'array'
         or jsonb_array_length(case when jsonb_typeof(configuration -> 'allowed_hosts') = 'array'
              then configuration -> 'allowed_hosts' else '[]' end) > 50
         or jsonb_path_exists(configuration, '$.allowed_hosts[*] ? (@.type() != "string" || !(@ like_regex '
           '"^([*][.])?[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?$"))')),
         'configuration.allowed_hosts', 'Must be at most 50 host names such as "api.example.com" or "*.example.com"');
end
$$;

-- Definer: reads who owns the agent and the tool, whatever the caller may see.
-- Raises AGENT_NOT_FOUND, NOT_FOUND, VALIDATION_ERROR.
create function private.tg_agent_tools__validate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.enabled := coalesce(new.enabled, true);
  new.configuration := coalesce(new.configuration, '{}');
  if tg_op = 'INSERT' then
    new.user_id := coalesce(new.user_id, (select a.user_id from public.agents a where a.id = new.agent_id));
    if not exists (select from public.agents a where a.id = new.agent_id and a.user_id = new.user_id
      and a.deleted_at is null) then
      perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
        left(new.agent_id, 100)));
    end if;
    if not exists (select from public.tools t where t.id = new.tool_id
      and (t.user_id is null or t.user_id = new.user_id)) then
      perform private.raise_error('NOT_FOUND', 'Tool not found or access denied',
        '{"tool_id": "Must be a built-in tool or one of yours"}');
    end if;
    if (select count(*) from public.agent_tools x where x.agent_id = new.agent_id) >= 50 then
      perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', 'An agent may have at most 50 tools', '{"limit": 50}');
    end if;
  end if;
  perform private.raise_problems(private.tool_configuration_problems(new.configuration));
  return new;
end
$$;
create trigger _200_validate before insert or update on public.agent_tools
  for each row execute function private.tg_agent_tools__validate();

-- What an agent runs with includes its tools: where the operator has critical findings block, they block here too while
-- an agent that uses the tool runs. Definer: reads all of it. Raises SECURITY_SCAN_FAILED.
create function private.tg_agent_tools__gate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.blocks_critical(new.user_id) then
    perform private.refuse_critical(d.agent_id) from private.agent_deployments d
      where d.desired = 'running' and d.removed_at is null and d.agent_id in (
        select u.agent_id from public.agent_tools u
        where case tg_table_name when 'tools' then to_jsonb(new) ->> 'id' = u.tool_id::text
          else to_jsonb(new) ->> 'agent_id' = u.agent_id end);
  end if;
  return null;
end
$$;
create trigger _700_gate after insert or update on public.agent_tools
  for each row execute function private.tg_agent_tools__gate();
create trigger _700_gate after update on public.tools
  for each row execute function private.tg_agent_tools__gate();

-- Secrets of users: names here, values in Vault. A value reaches only the call of a tool, or of the user's model
-- provider (OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_GENERATIVE_AI_API_KEY).
create table public.user_secrets (
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  version integer not null default 1,
  vault_id uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint user_secrets_pkey primary key (user_id, name)
);
alter table public.user_secrets enable row level security;
grant select (name, user_id, version, created_at, updated_at) on public.user_secrets to authenticated;
grant select on public.user_secrets to service_role;
create policy "users can read the names of their secrets" on public.user_secrets for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "secrets of users are stored by RPC alone" on public.user_secrets for insert to authenticated
  with check (false);
create policy "secrets of users are changed by RPC alone" on public.user_secrets for update to authenticated
  using (false) with check (false);
create policy "secrets of users are removed by RPC alone" on public.user_secrets for delete to authenticated
  using (false);
comment on table public.user_secrets is 'Names and versions of a user''s secrets; the values are in Vault.';

create trigger _500_forget after delete on public.user_secrets
  for each row execute function private.tg_agent_secrets__forget();

insert into private.verbs (name, permission, status, idempotent) values
  ('set_user_secret', 'agents:write', 200, false),
  ('list_user_secrets', 'agents:read', 200, false),
  ('remove_user_secret', 'agents:write', 200, false);

create function private.secret_answer(s public.user_secrets) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object('name', s.name, 'version', s.version, 'createdAt', private.iso(s.created_at),
  'updatedAt', private.iso(s.updated_at));

-- Stores or replaces one secret; the version grows only when the value differs. Raises VALIDATION_ERROR,
-- RESOURCE_LIMIT_EXCEEDED. The user's quota row is locked, so that two calls cannot make the same secret.
create function private.verb_set_user_secret(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  wanted text := args ->> 'name';
  value text := args ->> 'value';
  known public.user_secrets;
  changed boolean := true;
begin
  perform private.raise_problems(
    private.problem_if(coalesce(wanted !~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$', true), 'name',
      'Name must be letters, digits and underscores, not beginning with a digit')
    || private.problem_if(coalesce(value, '') = '', 'value', 'Value is required')
    || private.problem_if(octet_length(value) > 32768, 'value', 'Must be at most 32 KiB')
    || private.problem_if(private.secret_problem(wanted, value) is not null,
      'value', private.secret_problem(wanted, value)));
  perform from public.quotas q where q.user_id = caller for update;
  select * into known from public.user_secrets s where s.user_id = caller and s.name = wanted;
  if not found then
    if (select count(*) from public.user_secrets s where s.user_id = caller) >= 100 then
      perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', 'Maximum of 100 secrets reached', '{"limit": 100}');
    end if;
    insert into public.user_secrets (user_id, name, vault_id)
      values (caller, wanted, vault.create_secret(value, 'user/' || caller || '/' || wanted)) returning * into known;
  elsif (select v.decrypted_secret from vault.decrypted_secrets v where v.id = known.vault_id) is distinct from value
    then
    perform vault.update_secret(known.vault_id, value);
    update public.user_secrets s set version = s.version + 1, updated_at = now()
      where s.user_id = caller and s.name = wanted returning * into known;
  else
    changed := false;
  end if;
  return private.secret_answer(known) || jsonb_build_object('changed', changed);
end
$$;

create function private.verb_list_user_secrets(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  return jsonb_build_object('user_id', caller, 'secrets', (
    select coalesce(jsonb_agg(private.secret_answer(s) order by s.name), '[]') from public.user_secrets s
      where s.user_id = caller));
end
$$;

-- Raises NOT_FOUND.
create function private.verb_remove_user_secret(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  delete from public.user_secrets s where s.user_id = caller and s.name = args ->> 'name';
  if not found then
    perform private.raise_error('NOT_FOUND', 'No secret of yours has this name',
      '{"name": "Must be the name of a secret of yours"}');
  end if;
  return jsonb_build_object('name', args ->> 'name', 'removed', true);
end
$$;

create function public.set_user_secret(name text, value text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('set_user_secret', jsonb_build_object('name', name, 'value', value)); end $$;
create function public.list_user_secrets() returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('list_user_secrets', '{}'); end $$;
create function public.remove_user_secret(name text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('remove_user_secret', jsonb_build_object('name', name)); end $$;
revoke execute on function public.set_user_secret(text, text), public.list_user_secrets(),
  public.remove_user_secret(text)
  from public, anon, service_role;
grant execute on function public.set_user_secret(text, text), public.list_user_secrets(),
  public.remove_user_secret(text)
  to authenticated;
comment on function public.set_user_secret(text, text) is
  'Stores a secret of the caller; its value cannot be read back.';
comment on function public.list_user_secrets() is 'Names and versions of the caller''s secrets.';
comment on function public.remove_user_secret(text) is 'Removes a secret of the caller.';

revoke execute on all functions in schema private from public;
