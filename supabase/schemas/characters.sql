-- What a character file says beyond who the agent is: secrets, model, plugins, clients. Each part takes effect, or a
-- warning names it. The forms are those of elizaOS 0.x and 1.x.

-- Whether an entry of a character's settings is a secret by its name: DISCORD_API_TOKEN, but not publicKey. A name that
-- no environment variable can have stays where it is; scans find it there.
create function private.is_secret_setting(name text, value jsonb) returns boolean
language sql immutable set search_path = ''
return jsonb_typeof(value) = 'string' and value <> '""' and value #>> '{}' !~ '^\$\{[A-Za-z_][A-Za-z0-9_]*\}$'
  and name ~* '^([a-z_][a-z0-9_]*)?(key|token|secret|password|passphrase|mnemonic|seed)$' and name !~* 'public_?key$';

-- Whether a character's settings cannot set this: where models and databases are, and with
-- which keys, environment alone says.
-- The runtime leaves the same out (engines/eliza/character-settings.ts); a test compares them.
create function private.is_platform_setting(name text) returns boolean
language sql immutable set search_path = ''
return name ~* '^(OPENAI|ANTHROPIC|GOOGLE|GEMINI|POSTGRES|PGLITE|ELIZA|DATABASE|AGENT|NODE)_' or name = 'SECRET_SALT';

-- Entries deeper in a character's settings that hold a secret in plain text, as paths.
create function private.plain_secrets(settings jsonb) returns text[]
language sql immutable set search_path = ''
return (
  with recursive entries (path, name, value, depth) as (
    select e.key, e.key, e.value, 1
      from jsonb_each(case when jsonb_typeof(settings) = 'object' then settings - 'secrets' else '{}' end) e
    union all
    select x.path || '.' || c.key, c.key, c.value, x.depth + 1 from entries x cross join lateral (
      select o.key, o.value from jsonb_each(case when jsonb_typeof(x.value) = 'object' then x.value else '{}' end) o
      union all
      select (l.n - 1)::text, l.value
        from jsonb_array_elements(case when jsonb_typeof(x.value) = 'array' then x.value else '[]' end)
        with ordinality l (value, n)) c
    where x.depth < 10)
  select coalesce(array_agg(x.path order by x.path), '{}') from entries x
  where x.depth > 1 and private.is_secret_setting(x.name, x.value));

-- The secrets inside a character (settings.secrets, secrets, and settings that are secrets by
-- their names) as name → text.
create function private.character_secrets("character" jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if jsonb_typeof("character") is distinct from 'object' then
    return '{}';
  end if;
  return (
    select coalesce(jsonb_object_agg(s.key, case when jsonb_typeof(s.value) in ('number', 'boolean')
      then to_jsonb(s.value #>> '{}')
      else s.value end), '{}')
    from jsonb_each(
      (select coalesce(jsonb_object_agg(e.key, e.value), '{}')
        from jsonb_each(case when jsonb_typeof("character" -> 'settings') = 'object' then "character" -> 'settings'
          else '{}' end) e
        where private.is_secret_setting(e.key, e.value))
      || case when jsonb_typeof("character" -> 'settings' -> 'secrets') = 'object'
        then "character" -> 'settings' -> 'secrets' else '{}' end
      || case when jsonb_typeof("character" -> 'secrets') = 'object' then "character" -> 'secrets' else '{}' end) s
    where s.value not in ('null', '""'));
end
$$;
comment on function private.character_secrets(jsonb) is 'The secrets inside a character, as name and text.';

-- A character without its secrets, as it is stored.
create function private.without_secrets("character" jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if jsonb_typeof("character") is distinct from 'object' then
    return "character";
  elsif jsonb_typeof("character" -> 'settings') = 'object' then
    "character" := jsonb_set("character", '{settings}', ("character" -> 'settings') - 'secrets' - (
      select coalesce(array_agg(e.key), '{}') from jsonb_each("character" -> 'settings') e
        where private.is_secret_setting(e.key, e.value)));
  end if;
  return "character" - 'secrets';
end
$$;
comment on function private.without_secrets(jsonb) is 'A character without its secrets.';

-- What is wrong with the secrets inside a character: field → problem, in the words of `environment`.
create function private.character_secret_problems("character" jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return (select coalesce(jsonb_object_agg(case when "character" -> 'settings' ? split_part(p.key, '.', 2)
      then regexp_replace(p.key, '^environment', 'character.settings')
      else regexp_replace(p.key, '^environment', 'character.settings.secrets') end, p.value), '{}')
    from jsonb_each(private.environment_problems(private.character_secrets("character"))) p);
end
$$;

-- Whether a body is a character file itself rather than a definition that holds one.
create function private.is_bare_character(body jsonb) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_typeof(body) = 'object' and body ? 'name' and not body ?| array['agentName', 'character']
    and body ?| array['bio', 'lore', 'style', 'messageExamples', 'postExamples', 'modelProvider', 'clients',
      'adjectives', 'topics'];
end
$$;
comment on function private.is_bare_character(jsonb) is 'Whether a body is an elizaOS character file.';

-- The framework that a character's modelProvider names; null for one that is not offered.
create function private.framework_of_provider(provider text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select f.name from public.frameworks f
    where f.name = case lower(provider) when 'google_genai' then 'google' when 'gemini' then 'google'
      when 'claude_vertex' then 'anthropic' else lower(provider) end);
end
$$;

-- Sampling that a character's settings ask for, in our names; only what is a number.
create function private.character_sampling("character" jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  given jsonb := coalesce("character" -> 'settings', '{}');
begin
  if jsonb_typeof(given) is distinct from 'object' then
    return '{}';
  end if;
  if jsonb_typeof(given -> 'modelConfig') = 'object' then
    given := (given -> 'modelConfig') || given;
  end if;
  return (select coalesce(jsonb_object_agg(n.ours, given -> n.theirs), '{}')
    from (values ('temperature', 'temperature'), ('max_tokens', 'maxTokens'), ('max_tokens', 'maxOutputTokens'),
      ('max_tokens', 'max_tokens'),
      ('frequency_penalty', 'frequency_penalty'), ('presence_penalty', 'presence_penalty'),
        ('top_p', 'top_p')) n (ours, theirs)
    where jsonb_typeof(given -> n.theirs) = 'number');
end
$$;

-- Settings without those that a model does not take; no model means the framework's default.
create function private.taken_settings(of_framework text, of_model text, settings jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if settings = '{}' then
    return settings;
  end if;
  return (select coalesce(jsonb_object_agg(s.key, s.value), '{}') from jsonb_each(settings) s
    where not private.model_setting_problems(of_framework, coalesce(of_model,
      (select f.default_model from public.frameworks f where f.name = of_framework)),
        settings) ? ('settings.' || s.key));
end
$$;

-- Plugins that every agent of the engine has already, or that its framework brings.
create function private.is_base_plugin(plugin text) returns boolean
language sql immutable set search_path = ''
return plugin ~ '^@elizaos/plugin-(bootstrap|sql|node|openai|anthropic|google-genai)(@.*)?$';

-- Plugins that the runtime brings itself: packages/agent-runtime/src/plugins/built-in.ts holds
-- the same list, a test compares them.
create function private.built_in_plugins() returns text[]
language sql immutable parallel safe set search_path = ''
return array['@elizaos/plugin-supabase', '@elizaos/plugin-web3'];

-- Whether a plugin is an MCP server: its tools are the agent's, in both engines.
create function private.is_mcp_plugin(plugin text) returns boolean
language sql immutable parallel safe set search_path = ''
return starts_with(plugin, 'mcp:');

-- Whether these plugins make an agent one of elizaOS, by their names; the runtime also looks
-- into packages (engines/packages.ts).
create function private.needs_eliza(plugins text[]) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  if plugins = '{}' then
    return false;
  end if;
  return exists (select from unnest(plugins) p where p ~ '^(@elizaos/|@elizaos-plugins/|elizaos-plugin-)'
    and not substring(p from '^@?[^@]+') = any (private.built_in_plugins()));
end
$$;

-- The least memory of an elizaOS agent: it needs 380 MiB with Discord, and 430 MiB after 2,000 messages (ADR 0214).
create function private.eliza_memory() returns text
language sql immutable parallel safe set search_path = ''
return '768Mi';

-- The size of an agent whose definition names none.
create function private.default_resources(plugins text[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_object('memory', case when private.needs_eliza(plugins) then private.eliza_memory()
    else '512Mi' end,
    'cpu', '250m');
end
$$;

-- The bytes of memory that an agent runs with: what it asks for, and with elizaOS the least that it needs.
create function private.run_memory_bytes(resources jsonb, plugins text[]) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
  return case when private.needs_eliza(plugins)
    then greatest(private.memory_bytes(resources ->> 'memory'), private.memory_bytes(private.eliza_memory()))
    else private.memory_bytes(resources ->> 'memory') end;
end
$$;

-- A definition with what its character implies laid below it: framework, model, settings, plugins, platforms. What the
-- definition says itself always wins. The framework also follows from a model that only one of them offers.
create function private.with_character(definition jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  file jsonb := definition -> 'character';
  implied jsonb := '{}';
  model text;
  offering text[];
  sampling jsonb;
begin
  if jsonb_typeof(definition) is distinct from 'object' then
    return definition;
  end if;
  -- An empty framework is what a row without one has.
  if definition ->> 'framework' = '' then
    definition := definition - 'framework';
  end if;
  if jsonb_typeof(file) = 'object' then
    implied := jsonb_strip_nulls(jsonb_build_object(
      'framework', private.framework_of_provider(file ->> 'modelProvider'),
      'model', case when jsonb_typeof(file -> 'settings' -> 'model') = 'string'
        and exists (select from public.models m where m.name = file -> 'settings' ->> 'model')
          then file -> 'settings' -> 'model' end,
      'settings', nullif(private.character_sampling(file), '{}'),
      'plugins', (select jsonb_agg(p order by n)
        from jsonb_array_elements(case when jsonb_typeof(file -> 'plugins') = 'array'
          then file -> 'plugins' else '[]' end) with ordinality x (p, n)
        where jsonb_typeof(p) = 'string' and not private.is_base_plugin(p #>> '{}')),
      'platforms', (select jsonb_agg(distinct lower(p #>> '{}'))
        from jsonb_array_elements(case when jsonb_typeof(file -> 'clients') = 'array'
          then file -> 'clients' else '[]' end) p
        where jsonb_typeof(p) = 'string' and p #>> '{}' ~* '^[a-z0-9][a-z0-9_-]{0,31}$')));
  end if;
  sampling := coalesce(implied -> 'settings', '{}');
  -- Null counts as left out at creation.
  implied := implied || jsonb_strip_nulls(definition);
  model := implied ->> 'model';
  if model is not null and not implied ? 'framework' then
    select array_agg(m.framework) into offering from public.models m where m.name = model;
    if cardinality(offering) = 1 then
      implied := implied || jsonb_build_object('framework', offering[1]);
    end if;
  end if;
  -- What the model does not take of a file written for another one is left out; the answer warns of it.
  sampling := private.taken_settings(coalesce(implied ->> 'framework', 'openai'), model, sampling);
  if coalesce(jsonb_typeof(definition -> 'settings'), 'null') in ('object', 'null') then
    sampling := sampling || coalesce(nullif(definition -> 'settings', 'null'), '{}');
    implied := implied - 'settings'
      || case when sampling = '{}' then '{}' else jsonb_build_object('settings', sampling) end;
  end if;
  if implied = definition then
    return definition;
  end if;
  -- Only what is new: types and names of the definition's own fields are judged as they were sent.
  return definition || (select coalesce(jsonb_object_agg(i.key, i.value), '{}') from jsonb_each(implied) i
    where not definition ? i.key or definition -> i.key = 'null' or i.key = 'settings'
      and jsonb_typeof(definition -> 'settings') = 'object');
end
$$;
comment on function private.with_character(jsonb) is 'A definition with what its character implies.';

-- Platforms that need no plugin: the agent's own address and API.
create function private.is_served_by_address(platform text) returns boolean
language sql immutable set search_path = ''
return platform in ('api', 'web', 'http', 'rest', 'direct', 'supabase');
comment on function private.is_served_by_address(text) is 'Whether a platform is the agent''s own address.';

-- What a launch says in its character without effect: field → message.
create function private.character_warnings(a public.agents, file jsonb, eliza boolean) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  settings jsonb := case when jsonb_typeof(file -> 'settings') = 'object' then file -> 'settings' else '{}' end;
begin
  return coalesce((
      select jsonb_object_agg('character.' || k, 'Has no effect here') from jsonb_object_keys(file) k
      where k in ('clientConfig', 'twitterProfile', 'twitterQuery', 'nft', 'extends', 'imageModelProvider',
        'imageVisionModelProvider', 'modelEndpointOverride', 'experience', 'processors')), '{}')
    || coalesce((
      select jsonb_object_agg('character.' || k, 'Has no effect without an elizaOS plugin')
        from jsonb_object_keys(file) k
      where k in ('templates', 'postExamples') and file -> k not in ('null', '{}', '[]', '""')
        and not eliza), '{}')
    || coalesce((
      select jsonb_object_agg('character.settings.' || k, case
        when private.is_platform_setting(k) then 'Not used from a character; set it in environment'
        else 'Has no effect without an elizaOS plugin' end)
      from jsonb_object_keys(settings) k
      where (private.is_platform_setting(k) or not eliza)
        and not private.is_secret_setting(k, settings -> k)
        and k not in ('secrets', 'model', 'modelConfig', 'temperature', 'maxTokens', 'maxOutputTokens', 'max_tokens',
          'frequency_penalty', 'presence_penalty', 'top_p')), '{}')
    || coalesce((
      select jsonb_object_agg('character.settings.' || left(path, 200), format(
        'Stored in plain text; put the value in environment, for example as %1$s, and write ${%1$s} here',
        upper(regexp_replace(split_part(path, '.', -1), '[^A-Za-z0-9]+', '_', 'g'))))
      from unnest(private.plain_secrets(settings)) path where eliza), '{}')
    || case when private.framework_of_provider(file ->> 'modelProvider') is null
      and jsonb_typeof(file -> 'modelProvider') = 'string'
         then jsonb_build_object('character.modelProvider', format('%s is not offered; this agent uses %s',
           left(file ->> 'modelProvider', 100), a.framework))
         else '{}' end
    || coalesce((
      select jsonb_object_agg(regexp_replace(p.key, '^settings', 'character.settings'), p.value)
      from jsonb_each(private.model_setting_problems(a.framework, a.model, private.character_sampling(file))) p
      where not a.settings ? split_part(p.key, '.', 2)), '{}')
    || case when jsonb_typeof(settings -> 'model') = 'string' and a.model is distinct from settings ->> 'model'
         then jsonb_build_object('character.settings.model', format('Not used; this agent uses %s', a.model))
           else '{}' end
    || case when exists (select from jsonb_array_elements(case when jsonb_typeof(file -> 'knowledge') = 'array'
      then file -> 'knowledge' else '[]' end) k
           where jsonb_typeof(k) = 'object' and not k ?| array['content', 'text'])
         then '{"character.knowledge": "Names files: upload them under knowledge/ in the agent''s folder of the bucket '
           'agent-assets, or put their text into content"}'::jsonb else '{}' end
    || case when exists (select from jsonb_array_elements(case when jsonb_typeof(file -> 'plugins') = 'array'
      then file -> 'plugins' else '[]' end) p
           where jsonb_typeof(p) <> 'string')
         then '{"character.plugins": "Only names of npm packages have an effect"}'::jsonb else '{}' end;
end
$$;

-- What a launch says without effect, and a model that its provider retires: [{field,
-- message}], in the order of the fields.
create function private.definition_warnings(a public.agents, definition jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  eliza boolean := private.needs_eliza(a.plugins);
  warnings jsonb := private.problem_if(not eliza and a.settings ? 'reflection', 'settings.reflection',
      'Has no effect without an elizaOS plugin')
    || jsonb_strip_nulls(jsonb_build_object('model', private.model_notice(a.framework, a.model)))
    || private.model_setting_problems(a.framework, a.model, a.settings);
begin
  if jsonb_typeof(definition -> 'character') = 'object' then
    warnings := warnings || private.character_warnings(a, definition -> 'character', eliza);
  end if;
  if eliza then
    warnings := warnings || jsonb_strip_nulls(jsonb_build_object('resources.memory', case
        when definition -> 'resources' ->> 'memory' is null then
          format('Set to %s: agents with elizaOS plugins need more than other agents', a.resources ->> 'memory')
        when private.memory_bytes(a.resources ->> 'memory') < private.memory_bytes(private.eliza_memory()) then
          format('Runs with %s, the minimum for agents with elizaOS plugins', private.eliza_memory()) end))
      || private.problem_if(jsonb_typeof(a.settings -> 'stop') = 'array' and a.settings -> 'stop' <> '[]',
        'settings.stop', 'Has no effect with elizaOS plugins: their answers have a form that a stop would cut')
      || private.problem_if(a.framework = 'openai' and a.settings ->> 'presence_penalty' <> '0',
        'settings.presence_penalty', 'Has no effect with elizaOS plugins, which call OpenAI by its responses API')
      || private.problem_if(a.framework = 'openai' and a.settings ->> 'frequency_penalty' <> '0',
        'settings.frequency_penalty', 'Has no effect with elizaOS plugins, which call OpenAI by its responses API');
  end if;
  if a.platforms <> '{}' then
    warnings := warnings || coalesce((
      select jsonb_object_agg('platforms.' || (p.n - 1),
        format('No plugin of this agent serves %s; add one such as @elizaos/plugin-%s to plugins', p.name, p.name))
      from unnest(a.platforms) with ordinality p (name, n)
      where not private.is_served_by_address(p.name)
        and not exists (select from unnest(a.plugins) q where position(p.name in q) > 0)), '{}');
  end if;
  if warnings = '{}' then
    return '[]';
  end if;
  return (select jsonb_agg(jsonb_build_object('field', w.key, 'message', w.value) order by w.key)
    from jsonb_each(warnings) w);
end
$$;
comment on function private.definition_warnings(public.agents, jsonb) is
  'Parts of a definition that have no effect, and why.';

-- Whether a character's knowledge is too long for the instructions: it is indexed then (…_knowledge.sql), and an answer
-- gets what fits its question.
create function private.is_knowledge_indexed("character" jsonb) returns boolean
language sql immutable set search_path = ''
return coalesce(octet_length(("character" -> 'knowledge')::text) > 8000, false);

-- The character as its instructions are made of it.
create function private.instructed_character("character" jsonb) returns jsonb
language sql immutable set search_path = ''
return case when private.is_knowledge_indexed("character") then "character" - 'knowledge' else "character" end;

revoke execute on all functions in schema private from public;
