-- The one list of what a person writes of an agent. What a request may say, what a change of it does, what a revision
-- keeps, what an export carries and what goes with the agent follow from it: a new field is a
-- column of public.agents and a row here.

create table private.agent_fields (
  -- The column of public.agents.
  name text primary key,
  -- Its name in /api. A dot: a part of another field.
  field text not null,
  -- What /api accepts, as private.shape_problems reads it, and what it accepts at a launch where that differs.
  takes jsonb not null,
  at_launch jsonb,
  -- What null becomes, and what a new agent has; null: nothing.
  empty jsonb,
  -- Whether a change names parts of an object and leaves the others. Null then changes nothing
  -- where `empty` is something.
  parts boolean not null default false,
  -- Its name in a revision; null: a revision does not keep it.
  spec text,
  -- What a change does to a deployed agent: makes a new revision, scales it, counts at once
  -- without the cluster, or is only shown.
  effect text not null,
  -- Whether it is emptied when the agent is deleted.
  erased boolean not null default true,
  constraint agent_fields_field_key unique (field),
  constraint agent_fields_spec_key unique (spec),
  constraint agent_fields_effect_known check (effect in ('revision', 'scale', 'at once', 'shown')),
  constraint agent_fields_revisions_keep_what_runs check ((effect = 'revision') = (spec is not null))
);
alter table private.agent_fields enable row level security;
comment on table private.agent_fields is
  'The one list of what a person writes of an agent, and what follows from each field.';

-- Takes back what clients may write of fields that leave the list or change; _500_follow grants what stays.
create function private.tg_agent_fields__revoke() returns trigger
language plpgsql set search_path = '' as $$
declare
  gone text := (select string_agg(quote_ident(f.name), ', ' order by f.name) from before f
    join pg_attribute a on a.attrelid = 'public.agents'::regclass and a.attname = f.name and not a.attisdropped);
begin
  if gone is not null then
    execute format('revoke insert (%1$s), update (%1$s) on public.agents from authenticated', gone);
  end if;
  return null;
end
$$;
create trigger _400_revoke_deleted after delete on private.agent_fields referencing old table as before
  for each statement execute function private.tg_agent_fields__revoke();
create trigger _410_revoke_changed after update on private.agent_fields referencing old table as before
  for each statement execute function private.tg_agent_fields__revoke();

-- What depends on the columns by name is made from the list whenever it changes: what clients may write, when the
-- triggers that judge a row and that redeploy an agent fire, and the functions that a launch and every change of an
-- agent call, private.agent_spec, private.write_agent, private.definition_shape and private.blank_agent: by JSON and
-- the list they took a tenth of a change (docs/adr/0234).
create function private.tg_agent_fields__follow() returns trigger
language plpgsql set search_path = '' as $$
declare
  written text;
  running text;
  frozen text;
  shapes jsonb[] := '{}';
  shape jsonb;
  launching boolean;
  each_field private.agent_fields;
begin
  select string_agg(quote_ident(f.name), ', ' order by f.name),
      string_agg(quote_ident(f.name), ', ' order by f.name) filter (where f.effect in ('revision', 'scale')),
      string_agg(format('%L, a.%I', f.spec, f.name), ', ' order by f.name) filter (where f.spec is not null)
    into written, running, frozen from private.agent_fields f;
  if written is null then
    return null;
  end if;
  execute format('grant insert (%1$s), update (%1$s) on public.agents to authenticated', written);
  execute format('create or replace trigger _200_validate before insert or update of %s on public.agents
    for each row execute function private.tg_agents__validate()', written);
  execute format('create or replace trigger _500_request_change after update of %s on public.agents
    for each row when (new.deleted_at is null
      and new.id is distinct from current_setting(''launchpad.written_by_verb'', true))
    execute function private.tg_agents__request_change()', running);
  -- The configuration of an agent that a revision freezes.
  execute format($made$create or replace function private.agent_spec(a public.agents) returns jsonb
    language plpgsql stable set search_path = '' as $body$
    begin
      return jsonb_build_object(%s) || jsonb_build_object(
        'resources', a.resources || jsonb_build_object(
          'memoryBytes', private.run_memory_bytes(a.resources, a.plugins),
          'cpuMillicores', private.cpu_millicores(a.resources ->> 'cpu')),
        'secretVersions', (select coalesce(jsonb_object_agg(s.name, s.version), '{}')
          from public.agent_secrets s where s.agent_id = a.id));
    end $body$ $made$, frozen);
  -- Writes every field of an agent for a verb, and whether it is deleted; returns the row as it is then. While it
  -- writes, launchpad.written_by_verb names the agent: triggers that follow a direct write leave that to the verb.
  execute format($made$create or replace function private.write_agent(a public.agents) returns public.agents
    language plpgsql volatile set search_path = '' as $body$
    begin
      perform set_config('launchpad.written_by_verb', a.id, true);
      update public.agents x set %s, deleted_at = a.deleted_at where x.id = a.id returning x.* into a;
      perform set_config('launchpad.written_by_verb', '', true);
      return a;
    end $body$ $made$, (select string_agg(format('%1$I = a.%1$I', f.name), ', ' order by f.name)
      from private.agent_fields f));
  -- What a definition may say, as private.shape_problems reads it; at a launch, and later. A
  -- field comes before its parts.
  foreach launching in array '{true,false}'::boolean[] loop
    shape := '{"environment": "object"}';
    for each_field in select * from private.agent_fields x order by x.field loop
      shape := jsonb_set(shape, string_to_array(each_field.field, '.'),
        case when launching then coalesce(each_field.at_launch, each_field.takes) else each_field.takes end);
    end loop;
    shapes := shapes || shape;
  end loop;
  execute format($made$create or replace function private.definition_shape(launching boolean) returns jsonb
    language plpgsql immutable set search_path = '' as $body$
    begin
      return case when launching then %L::jsonb else %L::jsonb end;
    end $body$ $made$, shapes[1], shapes[2]);
  -- A new agent of this caller, before anything is said of it.
  execute format($made$create or replace function private.blank_agent(caller uuid) returns public.agents
    language plpgsql volatile set search_path = '' as $body$
    declare
      a public.agents := jsonb_populate_record(null::public.agents, %L);
    begin
      a.id := 'agent-' || private.random_base32(12);
      a.user_id := caller;
      a.status := 'idle';
      a.created_at := now();
      a.updated_at := now();
      return a;
    end $body$ $made$, (select jsonb_object_agg(x.name, x.empty) from private.agent_fields x));
  return null;
end
$$;
create trigger _500_follow after insert or update or delete on private.agent_fields
  for each statement execute function private.tg_agent_fields__follow();

insert into private.agent_fields (name, field, takes, at_launch, empty, parts, spec, effect, erased) values
  ('name', 'agentName', '"string 1 100"', '"string 1 100!"', null, false, 'name', 'revision', false),
  ('description', 'description', '"string"', null, null, false, null, 'shown', true),
  ('role', 'role', '"string"', null, null, false, null, 'shown', true),
  ('avatar', 'avatar', '"string"', null, null, false, null, 'shown', true),
  ('framework', 'framework', '"string"', null, '"openai"', false, 'framework', 'revision', false),
  ('model', 'model', '"string"', null, null, false, 'model', 'revision', false),
  ('system_prompt', 'system_prompt', '"string"', null, null, false, 'systemPrompt', 'revision', true),
  ('settings', 'settings', '"object"', null, '{}', true, 'settings', 'revision', true),
  ('character', 'character', '"object"', null, null, false, 'character', 'revision', true),
  ('plugins', 'plugins', '"strings"', null, '[]', false, 'plugins', 'revision', true),
  ('platforms', 'platforms', '"strings"', null, '[]', false, 'platforms', 'revision', true),
  ('resources', 'resources', '{"memory": "quantity", "cpu": "quantity"}', null,
    '{"memory": "512Mi", "cpu": "250m"}', true,
    'resources', 'revision', false),
  ('replicas', 'resources.replicas', '"integer 0 100"', '"integer 1 100"', '1', false, null, 'scale', false),
  ('scaling_policy', 'scaling_policy', '"object"', null, null, false, null, 'scale', false),
  ('supabase_config', 'supabase_config', '"object"', null, null, true, 'supabaseConfig', 'revision', true),
  ('visibility', 'visibility', '"one private public"', null, '"private"', false, null, 'at once', false),
  ('max_tokens_per_day', 'maxTokensPerDay', '"integer 0 999999999"', null, null, false, null, 'at once', false),
  ('idle', 'idle', '"object"', null, null, false, null, 'scale', false);

-- `a` with the fields of a definition laid over it; absent fields stay, null clears. Objects that have parts of their
-- own (resources, settings, supabase_config) are merged part by part; the character is replaced as a whole.
create function private.with_definition(a public.agents, d jsonb) returns public.agents
language plpgsql stable set search_path = '' as $$
declare
  before jsonb := to_jsonb(a);
  part text[];
begin
  for part in select string_to_array(f.field, '.') from private.agent_fields f where f.field like '%.%' loop
    d := d || case when d #> part <> 'null' then jsonb_build_object(array_to_string(part, '.'), d #> part)
      else '{}' end #- part;
  end loop;
  if jsonb_typeof(d -> 'resources') = 'object' then
    d := d || jsonb_build_object('resources', private.canonical_resources(jsonb_strip_nulls(d -> 'resources')));
  end if;
  return jsonb_populate_record(a, (
    select coalesce(jsonb_object_agg(f.name, case
        when v.value = 'null' then case when f.parts and f.empty is not null then before -> f.name
          else coalesce(f.empty, 'null') end
        when f.parts then coalesce(nullif(before -> f.name, 'null'), '{}') || v.value
        else v.value end), '{}')
    from jsonb_each(d) v join private.agent_fields f on f.field = v.key));
end
$$;

-- Column → value as a definition says it.
create function private.as_definition(columns jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  definition jsonb := (select jsonb_object_agg(f.field, v.value) from jsonb_each(columns) v join private.agent_fields f
    on f.name = v.key);
  part text;
begin
  for part in select f.field from private.agent_fields f where f.field like '%.%' and definition ? f.field loop
    definition := jsonb_set(definition - part, string_to_array(part, '.'), definition -> part);
  end loop;
  return definition;
end
$$;
comment on function private.as_definition(jsonb) is 'The columns of an agent under their names in /api.';

-- Column → value of what a revision froze. A field that is younger than the revision is empty.
create function private.spec_columns(spec jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select jsonb_object_agg(f.name, coalesce(spec_columns.spec -> f.spec, f.empty, 'null'))
      from private.agent_fields f where f.spec is not null)
    || jsonb_build_object('resources', (spec_columns.spec -> 'resources') - '{memoryBytes,cpuMillicores}'::text[]);
end
$$;

-- The fields in which two states of an agent differ, by their names in /api.
create function private.changed_fields(before public.agents, after public.agents) returns text[]
language plpgsql stable set search_path = '' as $$
begin
  return (select coalesce(array_agg(f.field), '{}')
    from jsonb_each(to_jsonb(before)) b join jsonb_each(to_jsonb(after)) n using (key) join private.agent_fields f
      on f.name = key
    where n.value <> b.value);
end
$$;

comment on function private.agent_spec(public.agents) is 'The configuration of an agent that a revision freezes.';
comment on function private.write_agent(public.agents) is 'Writes every field of an agent.';
comment on function private.definition_shape(boolean) is 'What a definition may say, at a launch or later.';
comment on function private.blank_agent(uuid) is 'A new agent before anything is said of it.';

revoke execute on all functions in schema private from public;
