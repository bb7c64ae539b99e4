-- The agents table: one table for both specifications, its policies and what makes a row valid.

create table public.agents (
  id text primary key default gen_random_uuid()::text,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null,
  description text,
  role text,
  avatar text,
  -- Empty in a new row: it follows from the model and the character, as at a launch (see _100_normalise).
  framework text not null default '' references public.frameworks (name),
  model text,
  system_prompt text,
  settings jsonb not null default '{}',
  "character" jsonb,
  plugins text[] not null default '{}',
  platforms text[] not null default '{}',
  -- What is left out is private.default_resources of the plugins.
  resources jsonb not null default '{}',
  replicas integer not null default 1,
  scaling_policy jsonb,
  supabase_config jsonb,
  -- Who may call the agent at its address: its owner and holders of its keys, or everybody.
  visibility text not null default 'private',
  -- Spend cap in tokens a day (UTC), input and output together; null: only its user's.
  max_tokens_per_day bigint,
  -- After how much idle time its replicas end until something wakes it: {"afterSeconds": 60–86400}; null: never.
  idle jsonb,
  -- Written by clients with an activity, by the lifecycle with the phase in lower case (see _400_client_status).
  status text not null default 'idle',
  -- Written by the lifecycle alone, from what the controller reports.
  url text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deployed_at timestamptz,
  deleted_at timestamptz,
  constraint agents_id_dns_label check (id ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  constraint agents_model_fkey foreign key (framework, model) references public.models (framework, name),
  constraint agents_visibility_known check (visibility in ('private', 'public')),
  -- What strangers may spend has a bound.
  constraint agents_public_is_capped check (visibility = 'private' or max_tokens_per_day is not null),
  constraint agents_idle_bounds check (idle @? '$.afterSeconds ? (@ >= 60 && @ <= 86400)'),
  constraint agents_tokens_not_negative check (max_tokens_per_day >= 0),
  constraint agents_status_known check (status in ('idle', 'thinking', 'responding', 'error', 'queued', 'deploying',
    'deployed', 'scaling', 'updating', 'restarting', 'sleeping', 'asleep', 'waking', 'stopping', 'stopped', 'failed',
    'deleting'))
);
comment on table public.agents is 'AI agents: definitions, and what is wanted of those deployed.';
create index agents_user_id_created_at_idx on public.agents (user_id, created_at desc);
create index agents_framework_model_idx on public.agents (framework, model);

alter table public.agents enable row level security;
grant select, delete on public.agents to authenticated;
-- id, url, deployed_at and deleted_at are not a client's to write; updated_at and status are accepted and put right
-- below. The fields that a person writes: private.agent_fields.
grant insert (user_id, status, updated_at), update (status, updated_at) on public.agents to authenticated;
grant select, insert, update, delete on public.agents to service_role;
create policy "owners can read their agents" on public.agents for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "owners can create agents" on public.agents for insert to authenticated
  with check ((select auth.uid()) = user_id);
create policy "owners can update their agents" on public.agents for update to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "owners can delete their agents" on public.agents for delete to authenticated
  using ((select auth.uid()) = user_id);

-- problems || {field: problem} when `bad`; null counts as good.
create function private.problem_if(bad boolean, field text, problem text) returns jsonb
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return case when bad then jsonb_build_object(field, problem) else '{}' end;
end
$$;

create function private.settings_problems(settings jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if settings = '{}' then
    return '{}';
  end if;
  return private.shape_problems(settings, '{"temperature": "number 0 2", "max_tokens": "integer 1 1000000",
    "presence_penalty": "number -2 2", "frequency_penalty": "number -2 2", "top_p": "number 0 1",
    "stop": "strings 16 200", "reflection": "one on off"}', 'settings.');
end
$$;

create function private.scaling_policy_problems(policy jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(policy, '{"min_replicas": "integer 0 100", "max_replicas": "integer 1 100",
    "target_cpu": "integer 1 100"}', 'scaling_policy.');
begin
  return case when problems <> '{}' then problems else private.problem_if(
    (policy ->> 'min_replicas')::integer > (policy ->> 'max_replicas')::integer,
    'scaling_policy.min_replicas', 'Must not be greater than max_replicas') end;
end
$$;

-- The entries of a list that do not fit: `field.N` → problem. One that is null is no text,
-- whatever else is asked of it.
create function private.entry_problems(entries text[], pattern text, longest integer, field text,
  problem text) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if entries = '{}' then
    return '{}';
  end if;
  return (select coalesce(jsonb_object_agg(format('%s.%s', field, x.place - 1),
      case when x.entry is null then 'Must be text' else problem end), '{}') from (
    select e.place, e.entry from unnest(entries) with ordinality as e (entry, place)
    where e.entry is null or length(e.entry) > longest or e.entry !~ pattern limit 50) x);
end
$$;

-- Whether a value is text, a list of texts, or absent: how characters write most of their fields.
create function private.is_words(value jsonb) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(jsonb_typeof(value), 'null') in ('string', 'null')
    or jsonb_typeof(value) = 'array' and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "string")');
end
$$;
comment on function private.is_words(jsonb) is 'Whether a value is text, a list of texts, or absent.';

-- What a runtime could not read of a character (packages/agent-runtime/src/character.ts reads
-- the rest whole): field → problem.
-- The forms are those of elizaOS 0.x and 1.x files and of knowledge2character; further fields are kept as they are.
create function private.character_problems("character" jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb;
  field text;
  knowledge jsonb := "character" -> 'knowledge';
  examples jsonb := "character" -> 'messageExamples';
  a_talk constant text := 'Must be a list of conversations, each a list of {name, content: {text}}';
begin
  if jsonb_typeof("character") <> 'object' then
    return '{"character": "Must be an object"}';
  end if;
  problems := private.problem_if(octet_length("character"::text) > 65536, 'character', 'Must be at most 64 KiB of JSON')
    || private.problem_if(jsonb_typeof("character" -> 'name') not in ('string', 'null')
         or length("character" ->> 'name') > 200, 'character.name', 'Must be text of at most 200 characters')
    || private.problem_if(jsonb_typeof("character" -> 'username') not in ('string', 'null'), 'character.username',
      'Must be text')
    || private.problem_if(jsonb_typeof("character" -> 'system') not in ('string', 'null'), 'character.system',
      'Must be text')
    || private.problem_if(jsonb_typeof("character" -> 'style') not in ('object', 'null'), 'character.style',
         'Must be an object with all, chat and post');
  foreach field in array array['bio', 'lore', 'personality', 'adjectives', 'topics', 'postExamples'] loop
    problems := problems
      || private.problem_if(not private.is_words("character" -> field), 'character.' || field,
        'Must be text or a list of texts');
  end loop;
  foreach field in array array['all', 'chat', 'post'] loop
    problems := problems || private.problem_if(not private.is_words("character" -> 'style' -> field),
      'character.style.' || field,
      'Must be text or a list of texts');
  end loop;
  return problems
    || private.problem_if(case coalesce(jsonb_typeof(knowledge), 'null')
           when 'null' then false
           when 'string' then false
           -- Strict: lax paths look through lists, so that a list in a list would be no entry at all.
           when 'array' then jsonb_path_exists(knowledge,
             'strict $[*] ? (@.type() != "string" && @.type() != "object")')
             or exists (select from jsonb_array_elements(knowledge) item where jsonb_typeof(item) = 'object'
               and not 'string' in (coalesce(jsonb_typeof(item -> 'content'), ''),
                 coalesce(jsonb_typeof(item -> 'text'), ''),
                 coalesce(jsonb_typeof(item -> 'path'), ''), coalesce(jsonb_typeof(item -> 'directory'), '')))
           when 'object' then jsonb_typeof(knowledge -> 'documents') is distinct from 'array'
             and jsonb_typeof(knowledge -> 'chunks') is distinct from 'array'
           else true end,
         'character.knowledge', 'Must be a list of texts or of items with content, text, path or directory; or an '
           'object with documents or chunks')
    || private.problem_if(coalesce(jsonb_typeof(examples), 'null') not in ('null', 'array'),
      'character.messageExamples', a_talk)
    || case when jsonb_typeof(examples) = 'array' then (
         select coalesce(jsonb_object_agg('character.messageExamples.' || x.place - 1, a_talk), '{}') from (
           select t.place from jsonb_array_elements(examples) with ordinality as t (talk, place)
           where case jsonb_typeof(t.talk)
             when 'array' then jsonb_path_exists(t.talk, 'strict $[*] ? (@.type() != "object")')
             when 'object' then jsonb_typeof(t.talk -> 'examples') is distinct from 'array'
             else true end limit 50) x)
       else '{}' end;
end
$$;

create function private.supabase_config_problems(config jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return private.shape_problems(config, '{"project_ref": "string 100", "database_url": "string 4096",
      "real_time": {"enabled": "boolean", "channels": "strings 100 200"},
      "storage": {"bucket": "string 100", "public_access": "boolean"}}', 'supabase_config.')
    || private.problem_if(octet_length(config::text) > 16384, 'supabase_config', 'Must be at most 16 KiB of JSON');
end
$$;

-- Why the host of an MCP server's address cannot be compared with rules, or null. URLs have many spellings of an IP
-- address (0x7f.1, [0:0::1], [::ffff:7f00:1]); rules would have to know them all, so that one alone is accepted.
create function private.mcp_host_problem(address text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  server text := substring(address from '^mcp:https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)');
  ipv6 text := substring(server from '^\[(.*)\]$');
begin
  if ipv6 is not null then
    -- Where an IPv4 address is part of it, Postgres writes it with dots; URLs do not.
    if ipv6 !~ '\.' and pg_input_is_valid(ipv6, 'inet') then
      if host(ipv6::inet) = ipv6 then
        return null;
      end if;
    end if;
    return
      'Must have an IPv6 address in its shortest form, such as [2001:db8::1], and an IPv4 address without brackets';
  end if;
  if server ~ '(^|\.)(0x[0-9a-f]*|[0-9]+)$'
      and server !~ '^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\.(?!$)|$)){4}$' then
    return 'Must have an IPv4 address in its plain form, such as 203.0.113.7';
  end if;
  return null;
end
$$;
comment on function private.mcp_host_problem(text) is 'Why the host of an MCP server''s address is refused.';

-- Plugins are names of packages, with or without an exact version, a range or a tag; or MCP servers, `mcp:` and their
-- address, with the secret that they are called with behind a `#`. `_shared/contract/plugins.ts` says the same.
create function private.plugin_name_problems(plugins text[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if plugins = '{}' then
    return '{}';
  end if;
  return (select coalesce(jsonb_object_agg('plugins.' || (x.place - 1), x.problem), '{}') from (
      select e.place, private.mcp_host_problem(e.plugin) as problem from unnest(plugins)
        with ordinality e (plugin, place)
      where private.mcp_host_problem(e.plugin) is not null limit 50) x)
    || private.entry_problems(plugins,
      '^(mcp:.*|(@[a-z0-9][a-z0-9._~-]*/)?[a-z0-9][a-z0-9._~-]*(@([~^]?[0-9]+(\.([0-9]+|'
        '[x*])){0,2}([+-][0-9A-Za-z.+-]{1,48})?|[a-z][a-z0-9-]{0,30}))?)$',
      214, 'plugins', 'Must be an npm package name, with or without @version')
    || private.entry_problems(plugins, '^(mcp:|(?!\.|/|~|[a-z0-9+.-]+:|[^@/]+/|.*\.git$))', 2147483647, 'plugins',
      'Must be the name of a package in the registry, not a path, a URL or a git address (an MCP server: mcp: before '
        'its address)')
    || private.entry_problems(plugins,
      '^(?!(assert|async_hooks|buffer|child_process|cluster|console|constants|crypto|dgram|'
      || 'diagnostics_channel|dns|domain|events|fs|http|http2|https|inspector|module|net|node|os|path|perf_hooks|'
        'process|punycode|'
      || 'querystring|readline|repl|stream|string_decoder|sys|timers|tls|trace_events|tty|url|util|v8|vm|wasi|'
        'worker_threads|zlib)'
      || '(@|$))', 2147483647, 'plugins', 'Must be a package, not a module of Node itself')
    || private.entry_problems(plugins,
      '^((?!mcp:)|mcp:https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?'
      || '([/?][!-"$-~]*)?(#([A-Za-z0-9-]{1,64}=)?[A-Za-z_][A-Za-z0-9_]{0,127})?$)', 2147483647, 'plugins',
      'Must be mcp: with the http or https address of an MCP server, then #NAME or #Header=NAME for the secret it '
        'needs')
    || private.entry_problems(plugins,
      '(?i)^(?!mcp:[^#]*#(host|connection|cookie|te|upgrade|expect|keep-alive|transfer-encoding|last-event-id|'
      || 'accept[a-z-]*|content-[a-z-]*|mcp-[a-z0-9-]*|proxy-[a-z-]*)=)', 2147483647,
        'plugins', 'Names a header that cannot be set');
end
$$;

-- What is wrong with an agent's row: column → problem, '{}' when nothing is.
create function private.agent_problems(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  frameworks text;
  problems jsonb := case
      when private.is_blank(a.name) then '{"name": "Name is required"}'::jsonb
      when length(a.name) > 100 then '{"name": "Must have at most 100 characters"}'
      else '{}' end
    || private.problem_if(length(a.description) > 2000, 'description', 'Must have at most 2000 characters')
    || private.problem_if(length(a.role) > 200, 'role', 'Must have at most 200 characters')
    || private.problem_if(a.avatar !~ '^https?://[^\s]+$', 'avatar', 'Must be an http or https URL')
    || private.problem_if(length(a.avatar) > 2048, 'avatar', 'Must have at most 2048 characters')
    || private.problem_if(length(a.system_prompt) > 65536, 'system_prompt', 'Must have at most 65536 characters')
    || private.problem_if(cardinality(a.plugins) > 50, 'plugins', 'Must have at most 50 items')
    || private.plugin_name_problems(a.plugins)
    || private.problem_if(cardinality(a.platforms) > 20, 'platforms', 'Must have at most 20 items')
    || private.entry_problems(a.platforms, '^[a-z0-9][a-z0-9_-]{0,31}$', 32,
         'platforms', 'Must be a short lower-case name such as "discord"')
    || private.problem_if(coalesce(a.replicas, -1) not between 0 and 100,
      'replicas', 'Must be a whole number from 0 to 100')
    || private.problem_if(coalesce(a.visibility, 'private') not in ('private', 'public'),
      'visibility', 'Must be private or public')
    || private.problem_if(a.visibility = 'public' and a.max_tokens_per_day is null, 'max_tokens_per_day',
         'Required for a public agent: what its callers may spend in a day')
    || private.problem_if(a.max_tokens_per_day not between 0 and 999999999, 'max_tokens_per_day',
         'Must be a whole number from 0 to 999999999')
    || case when a.idle is not null then private.shape_problems(a.idle, '{"afterSeconds": "integer 60 86400!"}',
         'idle.') else '{}' end
    || private.settings_problems(coalesce(a.settings, '{}'))
    || private.shape_problems(coalesce(a.resources, '{}'), '{"memory": "string!", "cpu": "string!"}', 'resources.')
    || private.problem_if(jsonb_typeof(a.resources -> 'memory') = 'string' and coalesce(
         private.memory_bytes(a.resources ->> 'memory') not between 134217728 and 68719476736, true),
         'resources.memory', 'Must be a quantity from 128Mi to 64Gi, such as "512Mi" or "1Gi"')
    || private.problem_if(jsonb_typeof(a.resources -> 'cpu') = 'string' and coalesce(
         private.cpu_millicores(a.resources ->> 'cpu') not between 50 and 64000, true),
         'resources.cpu', 'Must be a quantity from 50m to 64, such as "500m" or "1"');
begin
  if a.scaling_policy is not null then
    problems := problems || private.scaling_policy_problems(a.scaling_policy);
    if not exists (select from jsonb_object_keys(problems) p where p like 'scaling_policy%') then
      problems := problems || private.problem_if(a.replicas < (a.scaling_policy ->> 'min_replicas')::integer
        or a.replicas > (a.scaling_policy ->> 'max_replicas')::integer, 'replicas', 'Must lie within scaling_policy');
    end if;
  end if;
  if a."character" is not null then
    problems := problems || private.character_problems(a."character");
  end if;
  if a.supabase_config is not null then
    problems := problems || private.supabase_config_problems(a.supabase_config);
  end if;
  -- The one look-up where nothing is wrong: a model has a framework.
  if a.model is not null then
    if exists (select from public.models m where m.framework = a.framework and m.name = a.model) then
      return problems;
    end if;
  end if;
  if not exists (select from public.frameworks f where f.name = a.framework) then
    select string_agg(f.name, ', ' order by f.created_at,
      case f.name when 'openai' then 1 when 'anthropic' then 2 else 3 end)
      into frameworks from public.frameworks f;
    problems := problems || jsonb_build_object('framework', 'Framework must be one of: ' || frameworks);
  elsif a.model is not null then
    problems := problems || jsonb_build_object('model', private.unknown_model(a.framework, a.model));
  end if;
  return problems;
end
$$;
comment on function private.agent_problems(public.agents) is 'Column → problem of an agent''s row.';

-- Raises the one error for `problems`: INVALID_FRAMEWORK or INVALID_MODEL when that is all,
-- else VALIDATION_ERROR with this message.
create function private.raise_problems(problems jsonb, message text default 'Invalid request body') returns void
language plpgsql immutable set search_path = '' as $$
begin
  if problems = '{}' then
    return;
  elsif problems - 'framework' = '{}' then
    perform private.raise_error('INVALID_FRAMEWORK', problems ->> 'framework', problems);
  elsif problems - 'model' = '{}' then
    perform private.raise_error('INVALID_MODEL', problems ->> 'model', problems);
  end if;
  perform private.raise_error('VALIDATION_ERROR', message, problems);
end
$$;

-- The same for what a request asks in its query.
create function private.raise_query_problems(problems jsonb) returns void
language plpgsql immutable set search_path = '' as $$
begin
  perform private.raise_problems(problems, 'Invalid query parameters');
end
$$;

-- The resources of an agent whose plugins change: a memory size that was left at the default follows the engine.
create function private.resources_for_plugins(before public.agents, after public.agents) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if after.plugins <> before.plugins and after.resources -> 'memory' = before.resources -> 'memory'
      and before.resources -> 'memory' = private.default_resources(before.plugins) -> 'memory' then
    return after.resources || jsonb_build_object('memory', private.default_resources(after.plugins) -> 'memory');
  end if;
  return after.resources;
end
$$;

-- Lets the memory of a direct write follow its plugins. Such a write cannot say whether it means the size that it
-- leaves as it was; verbs can, and call resources_for_plugins themselves. Definer: calls private helpers.
create function private.tg_agents__resources_for_plugins() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.plugins := coalesce(new.plugins, '{}');
  new.resources := private.resources_for_plugins(old, new);
  return new;
end
$$;
create trigger _090_resources_for_plugins before update of plugins on public.agents
  for each row when (new.id is distinct from current_setting('launchpad.written_by_verb', true))
  execute function private.tg_agents__resources_for_plugins();

-- Whether an agent's model goes with its framework: it was the old one's default, and the new one does not have it.
create function private.model_follows(before public.agents, new_framework text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return new_framework <> before.framework
    and exists (select from public.frameworks f where f.name = before.framework and f.default_model = before.model)
    and not exists (select from public.models m where m.framework = new_framework and m.name = before.model);
end
$$;

-- Lets the model of a direct write follow its framework; verbs do it themselves. Definer: calls private helpers.
create function private.tg_agents__model_of_framework() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.model is not distinct from old.model and private.model_follows(old, new.framework) then
    new.model := null;
  end if;
  return new;
end
$$;
create trigger _091_model_of_framework before update of framework on public.agents
  for each row when (new.id is distinct from current_setting('launchpad.written_by_verb', true))
  execute function private.tg_agents__model_of_framework();

-- Fills defaults and brings both specifications' spellings into one form. Definer: it puts a database URL, which holds
-- a password, and the secrets of a character file into Vault instead of the row.
create function private.tg_agents__normalise() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  old_resources jsonb;
  implied jsonb;
begin
  -- A row without a framework is a definition like that of a launch: what its model and character imply takes effect.
  if tg_op = 'INSERT' and coalesce(new.framework, '') = '' then
    implied := private.with_character(jsonb_build_object('model', new.model, 'character', new."character",
      'settings', nullif(new.settings, '{}'), 'plugins', nullif(new.plugins, '{}'),
        'platforms', nullif(new.platforms, '{}')));
    new.framework := coalesce(implied ->> 'framework', 'openai');
    new.model := implied ->> 'model';
    new.settings := nullif(implied -> 'settings', 'null');
    new.plugins := array(select jsonb_array_elements_text(coalesce(nullif(implied -> 'plugins', 'null'), '[]')));
    new.platforms := array(select jsonb_array_elements_text(coalesce(nullif(implied -> 'platforms', 'null'), '[]')));
  end if;
  new.settings := coalesce(new.settings, '{}');
  new.plugins := coalesce(new.plugins, '{}');
  new.platforms := coalesce(new.platforms, '{}');
  new.visibility := coalesce(new.visibility, 'private');
  if tg_op = 'INSERT' then
    old_resources := private.default_resources(new.plugins);
  else
    old_resources := old.resources;
  end if;
  if jsonb_typeof(new.resources) = 'object' then
    -- The Launchpad spec writes replicas inside resources.
    if new.resources ? 'replicas' and jsonb_typeof(new.resources -> 'replicas') = 'number'
       and new.resources ->> 'replicas' ~ '^[0-9]{1,9}$' then
      new.replicas := (new.resources ->> 'replicas')::integer;
      new.resources := new.resources - 'replicas';
    end if;
    new.resources := old_resources || private.canonical_resources(jsonb_strip_nulls(new.resources));
  else
    new.resources := coalesce(new.resources, old_resources);
  end if;
  if new.model is null then
    select f.default_model into new.model from public.frameworks f where f.name = new.framework;
  end if;
  -- Null removes it, as null does in an environment.
  if jsonb_typeof(new.supabase_config) = 'object' and new.supabase_config ? 'database_url' then
    perform private.raise_problems(private.supabase_config_problems(new.supabase_config));
    if jsonb_typeof(new.supabase_config -> 'database_url') = 'string' then
      perform private.store_secret(new.id, new.user_id, 'SUPABASE_DB_URL', new.supabase_config ->> 'database_url');
    else
      perform private.remove_secret(new.id, 'SUPABASE_DB_URL');
    end if;
    new.supabase_config := new.supabase_config - 'database_url';
  end if;
  if private.character_secrets(new."character") <> '{}' then
    perform private.raise_problems(private.character_secret_problems(new."character"));
    perform private.apply_environment(new.id, new.user_id, private.character_secrets(new."character"));
  end if;
  new."character" := private.without_secrets(new."character");
  if tg_op = 'INSERT' or new is distinct from old then
    new.updated_at := now();
  end if;
  return new;
end
$$;
create trigger _100_normalise before insert or update on public.agents
  for each row execute function private.tg_agents__normalise();

-- Refuses a row that is not valid, and names each field. Definer: the checks read private helpers. Raises
-- VALIDATION_ERROR, INVALID_FRAMEWORK, INVALID_MODEL.
create function private.tg_agents__validate() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- A launch has judged its row already (private.check_definition).
  judged boolean := tg_op = 'INSERT' and new.id = current_setting('launchpad.written_by_verb', true);
  problems jsonb;
begin
  -- Who has a retired model already may change everything else, and is warned. A setting is judged when it is set: one
  -- that the model no longer takes, because either changed later, is left out of calls and told in the status; so is
  -- one that the framework's default does not take: most agents on it never chose it, and it changes.
  problems := case when tg_op = 'INSERT' or new.model is distinct from old.model
      then private.model_problems(new.framework, new.model) else '{}' end
    || case when judged then '{}' else private.agent_problems(new) end;
  if new.settings <> '{}' then
    problems := problems || (select coalesce(jsonb_object_agg(p.key, p.value), '{}')
      from jsonb_each(private.model_setting_problems(new.framework, new.model, new.settings)) p
      where (tg_op = 'INSERT' or new.settings -> split_part(p.key, '.', 2) is distinct from old.settings
        -> split_part(p.key, '.', 2))
        and not exists (select from public.frameworks f where f.name = new.framework
          and f.default_model = new.model));
  end if;
  if problems <> '{}' then
    perform private.raise_problems(problems);
  end if;
  return new;
end
$$;
-- _200_validate: private.agent_fields makes it.

-- Refuses more agents than the owner may have. Definer: counts all of the owner's agents. Locks the owner's quota row,
-- so that two inserts cannot both be the last. Raises AGENT_LIMIT_REACHED.
create function private.tg_agents__limit() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  most integer;
begin
  select q.max_agents into most from public.quotas q where q.user_id = new.user_id for update;
  if (select count(*) from public.agents a where a.user_id = new.user_id and a.deleted_at is null) >= most then
    perform private.raise_error('AGENT_LIMIT_REACHED', format('Maximum of %s reached', private.counted(most, 'agent')),
      jsonb_build_object('max_agents', most));
  end if;
  return new;
end
$$;
create trigger _300_limit before insert on public.agents
  for each row execute function private.tg_agents__limit();

-- Refuses a direct write by a user without agents:write. Definer: reads permissions. Raises PERMISSION_DENIED.
create function private.tg_agents__authorise() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not 'agents:write' = any (private.effective_permissions((select auth.uid()))) then
    perform private.raise_error('PERMISSION_DENIED', 'This needs the permission agents:write',
      '{"required": "agents:write"}');
  end if;
  return null;
end
$$;
create trigger _050_authorise before insert or update or delete on public.agents
  for each statement when (current_user = 'authenticated') execute function private.tg_agents__authorise();
create trigger _060_own before insert on public.agents
  for each row when (current_user = 'authenticated') execute function private.tg_rows__own();
