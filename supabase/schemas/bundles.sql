-- An agent as one document (a bundle): taken along by export_agent, made into a new agent by
-- import_agent, here or elsewhere.
-- {format, version, exportedAt, agentId, definition, secrets, revisions, conversations, assets, omitted}. Secrets by
-- name alone; assets are listed, their bytes are Storage's. A definition, also a revision's, is what POST /api/agents
-- takes, without `environment`.

insert into private.verbs (name, permission, status, idempotent) values
  ('export_agent', 'agents:read', 200, false),
  ('import_agent', 'agents:write', 201, true);

-- Bounds of a bundle: an export keeps the newest that fit, so that it can be imported again.
create function private.bundle_limit(name text) returns integer
language sql immutable parallel safe set search_path = ''
return case name
  when 'bytes' then 8388608
  when 'conversation_bytes' then 5242880
  when 'revision_bytes' then 1048576
  when 'asset_bytes' then 1048576
  when 'revisions' then 500
  when 'problems' then 50
end;

-- `object` without its null members; those deeper stay.
create function private.without_nulls(object jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return (select coalesce(jsonb_object_agg(e.key, e.value), '{}') from jsonb_each(object) e where e.value <> 'null');
end
$$;

-- GET /api/agents/{id}/export.
create function private.verb_export_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, args ->> 'agent_id');
  revisions jsonb;
  conversations jsonb;
  messages bigint;
  assets jsonb;
  omitted jsonb;
  event_id text;
begin
  if a.deleted_at is not null then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', '{"phase": "DELETING"}');
  end if;
  with sized as (
    select r.revision, r.reason, r.created_at,
      private.without_nulls(private.as_definition(private.spec_columns(r.spec))) as definition,
      sum(octet_length(r.spec::text)) over (order by r.revision desc) as bytes,
        row_number() over (order by r.revision desc) as n
    from public.agent_revisions r where r.agent_id = a.id
  )
  select coalesce(jsonb_agg(jsonb_build_object('revision', s.revision, 'reason', s.reason,
      'createdAt', private.iso(s.created_at), 'definition', s.definition) order by s.revision), '[]') into revisions
    from sized s where s.bytes <= private.bundle_limit('revision_bytes') and s.n <= private.bundle_limit('revisions');
  with sized as (
    -- As JSON writes it, and a hundred bytes for what stands around it.
    select c.*, sum(octet_length(to_json(c.content)::text) + 100) over (order by c.created_at desc, c.id) as bytes
    from public.agent_conversations c where c.agent_id = a.id
  ), grouped as (
    select s.conversation_id, min(s.created_at) as began, count(*) as n,
      jsonb_agg(jsonb_build_object('role', s.role, 'content', s.content, 'createdAt', private.iso(s.created_at))
        order by s.created_at, s.id) as messages
    from sized s where s.bytes <= private.bundle_limit('conversation_bytes') group by s.conversation_id
  )
  select coalesce(jsonb_agg(jsonb_build_object('conversationId', g.conversation_id, 'messages', g.messages)
    order by g.began), '[]'),
      coalesce(sum(g.n), 0)
    into conversations, messages from grouped g;
  with sized as (
    select f.*, sum(octet_length(f.name) + 200) over (order by f.bucket, f.name) as bytes
      from private.agent_files(a.id, null) f
  )
  select coalesce(jsonb_agg(jsonb_build_object('bucket', s.bucket, 'path', substr(s.name, length(a.id) + 2),
      'size', s.metadata -> 'size', 'contentType', s.metadata -> 'mimetype', 'updatedAt', private.iso(s.updated_at))
      order by s.bucket, s.name), '[]') into assets
    from sized s where s.bytes <= private.bundle_limit('asset_bytes');
  omitted := jsonb_build_object(
    'revisions', (select count(*) from public.agent_revisions r
      where r.agent_id = a.id) - jsonb_array_length(revisions),
    'messages', (select count(*) from public.agent_conversations c where c.agent_id = a.id) - messages,
    'assets', (select count(*) from private.agent_files(a.id, null)) - jsonb_array_length(assets));
  event_id := private.record_event(a.id, caller, 'EXPORTED', 'user:' || caller, 'Agent exported', null,
    null, null, null,
    jsonb_build_object('revisions', jsonb_array_length(revisions), 'messages', messages,
      'assets', jsonb_array_length(assets)));
  return jsonb_build_object('format', 'agent-launchpad/agent', 'version', 1, 'exportedAt', private.iso(now()),
    'agentId', a.id,
    'definition', private.without_nulls(private.as_definition(to_jsonb(a))),
    'secrets', (select coalesce(jsonb_agg(s.name order by s.name), '[]') from public.agent_secrets s
      where s.agent_id = a.id),
    'revisions', revisions, 'conversations', conversations, 'assets', assets, 'omitted', omitted);
end
$$;

-- The one place that a timestamp of a bundle is judged by its form; what no calendar has is refused by its cast.
create function private.is_timestamp(value jsonb) returns boolean
language sql immutable parallel safe set search_path = ''
return jsonb_typeof(value) = 'string'
  and value #>> '{}' ~
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$';

-- Field → problem of a definition within a bundle, found by what a launch would say of it. The row it makes is `a`.
create function private.bundled_definition(inout a public.agents, definition jsonb, prefix text, out problems jsonb)
language plpgsql volatile set search_path = '' as $$
declare
  failure text;
begin
  problems := '{}';
  if definition ? 'environment' then
    problems := jsonb_build_object(prefix || 'environment', 'Must not be in a bundle: set secrets after the import');
  elsif definition -> 'supabase_config' ? 'database_url' then
    problems := jsonb_build_object(prefix || 'supabase_config.database_url',
      'Must not be in a bundle: set secrets after the import');
  else
    a := private.check_definition(a, definition, true);
  end if;
exception when sqlstate 'PGRST' then
  get stacked diagnostics failure = message_text;
  select jsonb_object_agg(case d.key when 'body' then rtrim(prefix, '.') else prefix || d.key end,
    d.value) into problems
    from jsonb_each((failure::jsonb ->> 'details')::jsonb) d;
end
$$;

-- Field → problem of a bundle's conversations, the first few.
create function private.conversation_problems(conversations jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb;
begin
  select coalesce(jsonb_object_agg(p.key, p.value), '{}') into problems from (
    select e.key, e.value
    from jsonb_array_elements(conversations) with ordinality as c (value, n),
      lateral jsonb_each(private.shape_problems(c.value, '{"conversationId": "string", "messages": "array!"}',
        format('conversations.%s.', c.n - 1))) as e
    limit private.bundle_limit('problems')) p;
  if problems <> '{}' then
    return problems;
  end if;
  select coalesce(jsonb_object_agg(p.key, p.problem), '{}') into problems from (
    select format('conversations.%s.messages.%s%s', c.n - 1, m.n - 1, x.field) as key, x.problem
    from jsonb_array_elements(conversations) with ordinality as c (value, n),
      jsonb_array_elements(c.value -> 'messages') with ordinality as m (value, n),
      lateral (values
        ('', 'Must be an object', jsonb_typeof(m.value) = 'object'),
        ('.role', 'Must be user, assistant, system or tool',
          coalesce(m.value ->> 'role' in ('user', 'assistant', 'system', 'tool'), false)),
        ('.content', 'Must be text', coalesce(jsonb_typeof(m.value -> 'content') = 'string', false)),
        ('.createdAt', 'Must be a timestamp such as 2026-01-15T10:30:00Z',
          coalesce(private.is_timestamp(m.value -> 'createdAt'), false))
      ) as x (field, problem, fits)
    -- What is no object has no fields to name.
    where not x.fits and (x.field = '' or jsonb_typeof(m.value) = 'object') limit private.bundle_limit('problems')) p;
  return problems;
end
$$;

-- POST /api/agents/import: a new agent of the caller's, never deployed. Revisions become its history (a rollback can go
-- to one after the first deployment), conversations get ids of their own. A revision whose framework or model this
-- project does not have is left out and named. Raises VALIDATION_ERROR, INVALID_FRAMEWORK, INVALID_MODEL,
-- PAYLOAD_TOO_LARGE, AGENT_LIMIT_REACHED.
create function private.verb_import_agent(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  bundle jsonb := coalesce(args -> 'bundle', 'null');
  blank public.agents;
  a public.agents;
  judged record;
  entry record;
  at text;
  problems jsonb;
  skipped integer[] := '{}';
  revisions integer := 0;
  conversations integer;
  messages integer;
  event_id text;
begin
  if octet_length(bundle::text) > private.bundle_limit('bytes') then
    perform private.raise_error('PAYLOAD_TOO_LARGE', format('A bundle must be at most %s bytes',
      private.bundle_limit('bytes')));
  end if;
  problems := private.shape_problems(bundle,
    '{"format": "string!", "version": "integer!", "exportedAt": "string", "agentId": "string",
    "definition": "object!", "secrets": "strings", "revisions": "array", "conversations": "array", "assets": "array",
    "omitted": "object"}');
  problems := private.problem_if(coalesce(bundle ->> 'format', '') <> 'agent-launchpad/agent',
    'format', 'Must be agent-launchpad/agent')
    || private.problem_if(bundle -> 'version' <> '1', 'version', 'Must be 1, the version this project reads')
      || problems;
  perform private.raise_problems(problems);

  blank := private.blank_agent(caller);
  select * into judged from private.bundled_definition(blank, bundle -> 'definition', 'definition.');
  -- A framework or model that this project lacks keeps its code, as it does for a launch.
  if judged.problems <> '{}' and judged.problems - 'definition.framework' = '{}' then
    perform private.raise_error('INVALID_FRAMEWORK', judged.problems ->> 'definition.framework', judged.problems);
  elsif judged.problems <> '{}' and judged.problems - 'definition.model' = '{}' then
    perform private.raise_error('INVALID_MODEL', judged.problems ->> 'definition.model', judged.problems);
  end if;
  perform private.raise_problems(judged.problems);
  problems := private.conversation_problems(coalesce(nullif(bundle -> 'conversations', 'null'), '[]'))
    || private.problem_if(jsonb_array_length(coalesce(nullif(bundle -> 'revisions', 'null'), '[]')) >
      private.bundle_limit('revisions'),
         'revisions', format('Must have at most %s entries', private.bundle_limit('revisions')));
  perform private.raise_problems(problems);
  a := judged.a;
  insert into public.agents select a.* returning * into a;

  for entry in
    select r.value, r.n from jsonb_array_elements(coalesce(nullif(bundle -> 'revisions', 'null'), '[]'))
      with ordinality as r (value, n)
  loop
    at := format('revisions.%s.', entry.n - 1);
    problems := problems || private.shape_problems(entry.value,
      '{"revision": "integer!", "reason": "string", "createdAt": "string!", "definition": "object!"}', at);
    continue when problems <> '{}';
    problems := private.problem_if((entry.value ->> 'revision')::integer < 1, at || 'revision', 'Must be at least 1')
      || private.problem_if(length(entry.value ->> 'reason') > 200, at || 'reason', 'Must have at most 200 characters')
      || private.problem_if(not private.is_timestamp(entry.value -> 'createdAt'), at || 'createdAt',
           'Must be a timestamp such as 2026-01-15T10:30:00Z');
    select * into judged from private.bundled_definition(blank, entry.value -> 'definition', at || 'definition.');
    if judged.problems <> '{}' and judged.problems - array[at || 'definition.framework',
      at || 'definition.model'] = '{}' then
      skipped := skipped || (entry.value ->> 'revision')::integer;
      continue;
    end if;
    problems := problems || judged.problems;
    continue when problems <> '{}';
    insert into public.agent_revisions (agent_id, revision, user_id, spec, reason, created_by, created_at)
      values (a.id, (entry.value ->> 'revision')::integer, caller, private.agent_spec(judged.a),
        coalesce(entry.value ->> 'reason', 'import'),
        'import by user:' || caller, least((entry.value ->> 'createdAt')::timestamptz, now()))
      on conflict do nothing;
    if not found then
      problems := problems || jsonb_build_object(at || 'revision', 'Must not be there twice');
    end if;
    revisions := revisions + 1;
  end loop;
  perform private.raise_problems(problems);

  with c as materialized (
    select gen_random_uuid() as id, x.value -> 'messages' as messages
    from jsonb_array_elements(coalesce(nullif(bundle -> 'conversations', 'null'), '[]')) x
  ), added as (
    insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content, created_at)
    select a.id, caller, c.id, m.value ->> 'role', m.value ->> 'content',
      least((m.value ->> 'createdAt')::timestamptz, now())
    from c, jsonb_array_elements(c.messages) m
    returning conversation_id
  )
  select count(distinct d.conversation_id), count(*) into conversations, messages from added d;
  event_id := private.record_event(a.id, caller, 'IMPORTED', 'user:' || caller, 'Agent imported', null,
    null, null, null,
    jsonb_strip_nulls(jsonb_build_object('from', left(bundle ->> 'agentId', 63), 'revisions', revisions,
      'messages', messages)));
  return jsonb_build_object('agentId', a.id, 'name', a.name, 'user_id', caller, 'status', upper(a.status),
    'createdAt', private.iso(a.created_at), 'revisions', revisions, 'skippedRevisions', to_jsonb(skipped),
    'conversations', conversations, 'messages', messages,
      'missingSecrets', coalesce(nullif(bundle -> 'secrets', 'null'), '[]'),
    'missingAssets', jsonb_array_length(coalesce(nullif(bundle -> 'assets', 'null'), '[]')),
      'supabase_event_id', event_id);
end
$$;

create function public.export_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('export_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.import_agent(bundle jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('import_agent', jsonb_build_object('bundle', bundle)); end $$;
revoke execute on function public.export_agent(text), public.import_agent(jsonb) from public, anon, service_role;
grant execute on function public.export_agent(text), public.import_agent(jsonb) to authenticated;
comment on function public.export_agent(text) is 'An agent as one document; secrets by name alone.';
comment on function public.import_agent(jsonb) is 'Makes a new agent, never deployed, from an exported one.';

revoke execute on all functions in schema private from public;
