-- What a request may say of an agent: whose it is, what is wrong with a definition, and facts an answer tells.

-- The agent of this caller, locked until commit. Another user's agent is as absent as one that never was.
-- Raises AGENT_NOT_FOUND.
create function private.own_agent(caller uuid, wanted text) returns public.agents
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents;
begin
  select * into a from public.agents x where x.id = wanted and x.user_id = caller for update;
  if not found then
    perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
      left(wanted, 100)));
  end if;
  return a;
end
$$;

-- The caller's deployed agent; raises CONFLICT for one that was never deployed or is going.
create function private.own_deployment(caller uuid, wanted text) returns private.agent_deployments
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents := private.own_agent(caller, wanted);
  d private.agent_deployments;
begin
  select * into d from private.agent_deployments x where x.agent_id = a.id for update;
  if not found then
    perform private.raise_error('CONFLICT', 'This agent is not deployed; deploy it first', '{"phase": null}');
  end if;
  if d.desired = 'absent' then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', jsonb_build_object('phase', d.phase));
  end if;
  return d;
end
$$;

-- Field → problem of a definition's types and names, in the names of the Launchpad spec.
create function private.definition_problems(definition jsonb, launching boolean) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(definition, private.definition_shape(launching));
begin
  -- Their parts are cast before the row is judged, or go into Vault.
  if jsonb_typeof(definition -> 'scaling_policy') = 'object' then
    problems := problems || private.scaling_policy_problems(definition -> 'scaling_policy');
  end if;
  if jsonb_typeof(definition -> 'supabase_config') = 'object' then
    problems := problems || private.supabase_config_problems(definition -> 'supabase_config');
  end if;
  if jsonb_typeof(definition -> 'environment') = 'object' then
    problems := problems || private.environment_problems(definition -> 'environment');
  end if;
  return problems;
end
$$;

create function private.texts(list jsonb) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
  return (select coalesce(array_agg(e), '{}') from jsonb_array_elements_text(list) e);
end
$$;

-- Raises one error that names every wrong field of a definition laid over `a`, types and bounds together.
create function private.check_definition(a public.agents, definition jsonb, launching boolean) returns public.agents
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := private.definition_problems(definition, launching);
  sound jsonb := '{}';
  field text;
  row_problems jsonb;
begin
  if problems = '{}' then
    sound := definition;
  else
    -- A body of thousands of fields has unknown ones, and those are in `problems`.
    if jsonb_typeof(definition) is distinct from 'object'
      or (select count(*) from jsonb_object_keys(definition)) > 100 then
      perform private.raise_problems(problems);
    end if;
    -- Fields of the right type are judged further, so that one answer names everything.
    for field in select k from jsonb_object_keys(definition) k
      where not exists (select from jsonb_object_keys(problems) p where p = k or p like k || '.%') loop
      sound := sound || jsonb_build_object(field, definition -> field);
    end loop;
  end if;
  a := private.with_definition(a, sound);
  row_problems := private.agent_problems(a);
  if row_problems <> '{}' or problems <> '{}' then
    -- What is wrong with a column, under the name that the request has for it.
    select coalesce(jsonb_object_agg(coalesce(f.field || substr(p.key, length(f.name) + 1), p.key), p.value),
      '{}') into row_problems
      from jsonb_each(row_problems) p left join private.agent_fields f on f.name = split_part(p.key, '.', 1);
    perform private.raise_problems(row_problems || problems);
  end if;
  return a;
end
$$;

-- Whether changes of a table reach Realtime subscribers. From the catalogue: the view pg_publication_tables expands
-- every publication first.
create function private.is_published(wanted regclass) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
  select from pg_publication p
  where p.pubname = 'supabase_realtime'
    and (p.puballtables or exists (select from pg_publication_rel r where r.prpubid = p.oid and r.prrelid = wanted)));
end
$$;

-- The tables behind an agent: whether each is there, and has row-level security with a policy.
create view private.agent_tables as
  select needed.name, c.oid is not null as created, c.relrowsecurity
    and exists (select from pg_policy p where p.polrelid = c.oid) as guarded
  from unnest(array['agents', 'agent_conversations', 'agent_metrics', 'agent_logs', 'agent_events', 'agent_secrets'])
    as needed (name)
  left join pg_class c on c.relname = needed.name and c.relnamespace = 'public'::regnamespace
    and c.relkind in ('r', 'p');

-- Whether all of them are there and guarded. A connection remembers for ten seconds that they are: to look is an eighth
-- of a list (ADR 0284). Status and health look each time.
create function private.agent_tables_are_sound() returns boolean
language plpgsql volatile set search_path = '' as $$
declare
  until text := current_setting('launchpad.agent_tables_sound_until', true);
  sound boolean := until > '' and until::double precision > date_part('epoch', now());
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  if sound is not true then
    sound := (select bool_and(t.created and t.guarded) from private.agent_tables t);
    ignored := set_config('launchpad.agent_tables_sound_until',
      case when sound then (date_part('epoch', now()) + 10)::text else '' end, false);
  end if;
  return sound;
end
$$;

-- Facts about the tables behind an agent, from the catalogue and the publication. `sound`: known already.
create function private.supabase_integration(config jsonb, sound boolean default false) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  created boolean := sound;
  guarded boolean := sound;
begin
  if sound is not true then
    select bool_and(t.created), coalesce(bool_and(t.guarded), false) into created, guarded from private.agent_tables t;
  end if;
  return jsonb_build_object('tables_created', created, 'rls_policies_applied', guarded, 'real_time_enabled',
    coalesce((config -> 'real_time' ->> 'enabled')::boolean, true) and private.is_published('public.agents'));
end
$$;

-- Seconds in words: '2 seconds', '5 minutes'.
create function private.duration_words(low double precision, high double precision) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
  when low is null then null
  when high <= 1 then '1 second'
  when high < 90 then case when ceil(low) = ceil(high) then format('%s seconds', ceil(low))
                           else format('%s-%s seconds', ceil(low), ceil(high)) end
  else case when ceil(low / 60) = ceil(high / 60) then format('%s minutes', ceil(low / 60))
            else format('%s-%s minutes', ceil(low / 60), ceil(high / 60)) end
end;
end
$$;

-- Median to 90th percentile of the last week's first deployments; says so when there is nothing to go by.
create function private.estimated_deploy_time() returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
  select coalesce(private.duration_words(
    percentile_cont(0.5) within group (order by s.seconds), percentile_cont(0.9) within group (order by s.seconds)),
    'unknown until a first agent has been deployed')
  from (
    select (d.timings ->> 'deploySeconds')::double precision as seconds
    from private.agent_deployments d
    where d.timings ? 'deploySeconds' and d.created_at > now() - interval '7 days'
    order by d.created_at desc limit 100
  ) s
);
end
$$;
