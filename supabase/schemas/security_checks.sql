-- The checks of a scan: what is deployed (posture), known vulnerabilities of the packages an agent runs on, and what
-- the database can prove of its own controls. Nothing here is a constant: a check that cannot
-- be made says `unavailable`.

create function private.finding(check_name text, severity text, title text, recommendation text,
  extra jsonb default '{}')
returns jsonb
language sql immutable set search_path = ''
return jsonb_build_object('check', check_name, 'source', 'posture', 'severity', severity, 'title', title,
  'recommendation', recommendation) || extra;

-- Every text and every name within a value, one a line, and then the value as JSON writes it: a pattern may want a
-- word's beginning, which an escape before it hides, or a name beside its value. Below 32 levels only the latter.
create function private.texts_in(value jsonb) returns text
language sql immutable set search_path = '' as $$
  with recursive node (value, depth) as (
    select texts_in.value, 0
    union all
    select c.value, n.depth + 1 from node n cross join lateral (
      select e.value from jsonb_each(case when jsonb_typeof(n.value) = 'object' then n.value else '{}' end) e
      union all
      select e.value from jsonb_array_elements(case when jsonb_typeof(n.value) = 'array' then n.value
        else '[]' end) e) c
    where n.depth < 32
  )
  select concat_ws(E'\n',
    (select string_agg(n.value #>> '{}', E'\n') from node n where jsonb_typeof(n.value) = 'string'),
    (select string_agg(k, E'\n') from node n,
       jsonb_object_keys(case when jsonb_typeof(n.value) = 'object' then n.value else '{}' end) k),
    texts_in.value::text)
$$;

-- `outer.inner`; the inner name is left out where it looks like a secret itself, since findings name places.
create function private.place_of(outer_name text, inner_name text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case when exists (select from private.secret_patterns s where inner_name ~ s.pattern) then outer_name
    else outer_name || '.' || left(inner_name, 100) end;
end
$$;

-- Everything written of an agent and of the tools that it uses: place → texts. From the row itself, so that a column
-- added later is searched: all but what the platform writes, and quantities.
create function private.agent_texts(a public.agents) returns table (place text, content text)
language plpgsql stable set search_path = '' as $$
begin
  return query
    with parts as (
      select c.key as name, c.value from jsonb_each(to_jsonb(a) - '{id,status,url,resources,scaling_policy}'::text[]) c
        join pg_attribute x on x.attrelid = 'public.agents'::regclass and x.attname = c.key
        where c.value <> 'null' and x.atttypid in ('text'::regtype, 'varchar'::regtype, 'text[]'::regtype,
          'json'::regtype, 'jsonb'::regtype)
      union all
      select private.place_of('tools', t.name), to_jsonb(t) - '{id,user_id}'::text[]
        from public.agent_tools u join public.tools t on t.id = u.tool_id where u.agent_id = a.id
          and t.user_id is not null
      union all
      select private.place_of('tools', t.name) || '.configuration', u.configuration
        from public.agent_tools u join public.tools t on t.id = u.tool_id where u.agent_id = a.id
    )
    select p.name, private.texts_in(p.value) from parts p where jsonb_typeof(p.value) <> 'object'
    union all
    select private.place_of(p.name, e.key), private.texts_in(jsonb_build_object(e.key, e.value))
      from parts p, jsonb_each(case when jsonb_typeof(p.value) = 'object' then p.value else '{}' end) e;
end
$$;

-- A plugin as written: its package, and its version where that is exact. Of an MCP server: its
-- address, which has no version.
create function private.plugin_parts(plugin text) returns table (package text, wanted text, version text)
language sql immutable set search_path = '' as $$
  select split_part(plugin, '#', 1), null, null where private.is_mcp_plugin(plugin)
  union all
  select substring(plugin from '^(@?[^@]+)'), nullif(substring(plugin from '^@?[^@]+@(.*)$'), ''),
    substring(plugin from '^@?[^@]+@([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)$')
  where not private.is_mcp_plugin(plugin)
$$;

-- The exact packages an agent runs: the runtime's, and those of the lock file that its plugins were resolved to; until
-- then what the runtime ships of elizaOS, and the plugins with an exact version.
create function private.agent_packages(a public.agents) returns table (package text, version text)
language plpgsql stable set search_path = '' as $$
begin
  return query
    with plugins as (select p.* from unnest(a.plugins) x, private.plugin_parts(x) p),
    resolved as (select t.package, t.version from private.plugin_tree_packages t
      where t.tree_id = private.plugin_tree_of(a.id))
    select r.package, r.version from private.runtime_packages r
      where r.set_name = 'model' or (private.needs_eliza(a.plugins) and not exists (select from resolved))
    union select p.package, p.version from plugins p where p.version is not null and not exists (select from resolved)
    union select r.package, r.version from resolved r;
end
$$;

-- What is wrong with how an agent is defined and deployed.
create function private.posture_findings(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  found jsonb := '[]';
  d private.agent_deployments;
  p record;
  t record;
  tree text := private.plugin_tree_of(a.id);
begin
  select * into d from private.agent_deployments x where x.agent_id = a.id;

  for t in
    select distinct x.place, s.kind, s.severity from private.agent_texts(a) x join private.secret_patterns s
      on x.content ~ s.pattern
    order by x.place, s.kind limit 200
  loop
    found := found || private.finding('SECRET_LITERAL', t.severity, format('In %s: %s', t.place, t.kind),
      format('Move the %s from %s into the environment, and replace it: it has been readable', t.kind, t.place),
      jsonb_build_object('location', t.place));
  end loop;

  for p in
    select distinct on (x.package) x.*, r.version as shipped, r.install_script
    from unnest(a.plugins) n, private.plugin_parts(n) x
    left join private.runtime_packages r on r.package = x.package
    where not x.package = any (private.built_in_plugins()) order by x.package, r.version desc
  loop
    if private.is_mcp_plugin(p.package) then
      if p.package ~ '^mcp:http:' and exists (select from unnest(a.plugins) n where starts_with(n, p.package || '#'))
        then
        found := found || private.finding('PLUGIN_PLAINTEXT', 'HIGH',
          format('%s is called with a secret, without encryption', p.package),
          'Use the https address of this MCP server', jsonb_build_object('package', p.package));
      end if;
    elsif tree is not null then
      null; -- The revision keeps the exact version.
    elsif p.version is null and p.wanted is not null then
      found := found || private.finding('PLUGIN_RANGE', 'MEDIUM', format('%s is asked for as "%s"', p.package,
        left(p.wanted, 50)),
        format('Pin %s to an exact version', p.package), jsonb_build_object('package', p.package));
    elsif p.version is null then
      found := found || private.finding('PLUGIN_UNPINNED', 'LOW', format('%s has no version', p.package),
        format('Pin %s to an exact version', p.package), jsonb_build_object('package', p.package));
    end if;
    if p.install_script or exists (select from private.plugin_tree_packages y
        where y.tree_id = tree and y.package = p.package and y.install_script) then
      found := found || private.finding('PLUGIN_INSTALL_SCRIPT', 'LOW',
        format('%s runs a script when it is installed', p.package),
        format('Review the install script of %s', p.package), jsonb_build_object('package', p.package));
    end if;
  end loop;
  found := found
    || coalesce((select jsonb_agg(private.finding('PLUGIN_LICENCE', 'LOW', format('%s has no licence', y.package),
      format('Ask whoever publishes %s for a licence', y.package),
        jsonb_build_object('package', y.package, 'version', y.version))
      order by y.package)
    from private.plugin_tree_packages y where y.tree_id = tree and y.licence is null
      and y.package in (select x.package from unnest(a.plugins) n, private.plugin_parts(n) x)), '[]');
  if d.phase = 'FAILED' and d.reason in ('PLUGIN_NOT_FOUND', 'ENGINE_NOT_INSTALLED') then
    found := found || private.finding('PLUGIN_MISSING', 'MEDIUM', left(coalesce(d.message, 'A plugin is missing'), 300),
      'Remove the missing plugin, or ask the operator to install it');
  end if;

  if private.memory_bytes(a.resources ->> 'memory') is null
    or private.cpu_millicores(a.resources ->> 'cpu') is null then
    found := found || private.finding('LIMITS_MISSING', 'HIGH', 'The agent has no memory or CPU limit',
      'Set resources.memory and resources.cpu');
  end if;
  if not exists (select from public.models m where m.framework = a.framework and m.name = a.model) then
    found := found || private.finding('MODEL_UNKNOWN', 'MEDIUM', 'The model is not in the catalogue',
      'Choose a model of the catalogue');
  end if;
  if a.supabase_config #> '{storage,public_access}' = 'true' then
    found := found || private.finding('STORAGE_PUBLIC', 'MEDIUM', 'The agent''s storage is readable by everyone',
      'Set supabase_config.storage.public_access to false', '{"location": "supabase_config.storage"}');
  end if;
  if exists (select from public.agent_secrets s where s.agent_id = a.id and s.updated_at < now() - interval '1 year')
    then
    found := found || private.finding('SECRET_OLD', 'LOW', 'A secret has not been replaced for a year',
      'Replace secrets regularly');
  end if;
  -- What the controllers that live now say of their cluster; processes of one machine share its user and its network.
  if d.desired = 'running' and exists (select from private.controllers c
      where c.expires_at > now() and c.report ->> 'cluster' = 'processes') then
    found := found || private.finding('EGRESS_OPEN', 'LOW', 'Agents of this cluster may reach every address',
      'Run agents on Kubernetes, where the network policy allows known destinations only')
      || private.finding('NOT_ISOLATED', 'LOW', 'Agents of this cluster run as processes of one user',
      'Run agents on Kubernetes, where each is a container without root');
  end if;
  return found;
end
$$;

create function private.vulnerability_findings(a public.agents) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('check', v.advisory_id, 'source', v.source, 'severity', v.severity,
    'title', v.title,
      'recommendation', format('Update %s %s: it is vulnerable in %s', v.package, v.version,
        coalesce(v.vulnerable_versions, 'this version')),
      'package', v.package, 'version', v.version, 'url', v.url) order by v.package, v.version, v.advisory_id), '[]')
  from private.advisories v
  where v.agent_id = a.id
     or (v.agent_id = '' and (v.package, v.version) in (select p.package, p.version from private.agent_packages(a) p))
$$;

-- Whether the advisories of an agent's packages are known: {status, packages, checked, checkedAt, reason?}.
create function private.advisory_status(a public.agents) returns jsonb
language sql stable set search_path = '' as $$
  with rule as (select make_interval(days => (s.value ->> 'stale_days')::integer) as stale
                from private.security_settings s where s.name = 'advisories'),
  state as (
    select count(*) as packages, count(c.checked_at) filter (where c.checked_at > now() - r.stale) as checked,
      min(c.checked_at) as oldest, max(c.error) as error
    from rule r, private.agent_packages(a) p left join private.package_checks c using (package, version)
  ), unresolved as (
    select count(*) as n from unnest(a.plugins) x, private.plugin_parts(x) p
    where p.version is null and not exists (select from private.runtime_packages r where r.package = p.package)
      and private.plugin_tree_of(a.id) is null and not p.package = any (private.built_in_plugins())
      and not private.is_mcp_plugin(p.package)
  )
  select jsonb_strip_nulls(jsonb_build_object(
    'status', case when s.packages > 0 and s.checked = s.packages and u.n = 0 then 'available' else 'unavailable' end,
    'packages', s.packages, 'checked', s.checked,
    'checkedAt', case when s.checked = s.packages then private.iso(s.oldest) end,
    'reason', case when s.packages = 0 then 'The packages of the runtime are not known yet'
      when s.checked < s.packages then coalesce(s.error, 'Not every package has been looked up yet')
      when u.n > 0 then 'The version of a plugin is not known' end))
  from state s, unresolved u
$$;

-- What the database can prove of its controls at this moment, from its catalogues.
create function private.compliance(of_agent text) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(
  -- Row-level security is on, with a policy, for every table that holds users' rows.
  'rls_policies_verified', private.user_isolation() and not exists (
    select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and exists (select from pg_attribute x where x.attrelid = c.oid and x.attname = 'user_id' and not x.attisdropped)
      and not exists (select from pg_policy p where p.polrelid = c.oid)),
  -- Vault is installed, and the agent's secrets stand in it as ciphertext. Whether the disk is
  -- encrypted, SQL cannot know.
  'data_encryption_enabled', exists (select from pg_extension e where e.extname = 'supabase_vault') and not exists (
    select from public.agent_secrets s left join vault.decrypted_secrets v on v.id = s.vault_id
    where s.agent_id = of_agent and (v.id is null or v.secret = v.decrypted_secret)),
  -- The triggers that write and protect the event logs exist and fire.
  'audit_logging_active', not exists (
    select from (values ('public.agents', '_500_record_created'), ('public.agents', '_500_request_change'),
      ('public.agents', '_500_teardown'), ('public.agents', '_600_record_deleted'),
        ('public.agents', '_600_record_marked_deleted'),
      ('public.agent_events', '_100_append_only'), ('public.security_events', '_100_append_only'))
        as needed (name, trigger)
    where not exists (select from pg_trigger t where t.tgrelid = to_regclass(needed.name) and t.tgname = needed.trigger
      and t.tgenabled in ('O', 'A')))
);

-- One scan: {passed, findings, results}. Passed: nothing critical or high, every check could be made, and the database
-- proves its controls.
create function private.assess(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  findings jsonb := private.posture_findings(a) || private.vulnerability_findings(a);
  advisories jsonb := private.advisory_status(a);
  compliance jsonb := private.compliance(a.id);
  trivy bigint := (select count(*) from private.advisories v where v.agent_id = a.id and v.source = 'trivy');
  counts jsonb;
  recommendations jsonb;
  complete boolean := advisories ->> 'status' = 'available';
begin
  select jsonb_build_object('critical', count(*) filter (where f ->> 'severity' = 'CRITICAL'),
      'high', count(*) filter (where f ->> 'severity' = 'HIGH'),
        'medium', count(*) filter (where f ->> 'severity' = 'MEDIUM'),
      'low', count(*) filter (where f ->> 'severity' = 'LOW'))
    into counts from jsonb_array_elements(findings) f;
  select coalesce(jsonb_agg(r.text order by r.worst, r.text), '[]') into recommendations from (
    select f ->> 'recommendation' as text,
      min(array_position(array['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], f ->> 'severity')) as worst
    from jsonb_array_elements(findings) f group by 1 order by 2, 1 limit 50) r;
  if not complete then
    recommendations := recommendations || to_jsonb('Known vulnerabilities could not be checked: '
      || (advisories ->> 'reason'));
  end if;
  return jsonb_build_object(
    'passed', complete and (counts ->> 'critical')::integer = 0 and (counts ->> 'high')::integer = 0
      and not exists (select from jsonb_each(compliance) c where c.value <> 'true'),
    'findings', findings,
    'results', jsonb_build_object('vulnerabilities', counts, 'recommendations', recommendations,
      'supabase_compliance', compliance,
      'sources', jsonb_build_object('posture', '{"status": "available"}'::jsonb, 'npm_advisories', advisories,
        'container_image', jsonb_build_object('status', case when trivy > 0 then 'available' else 'unavailable' end))));
end
$$;

-- Whether an operator wants critical findings to block, for everyone or this user.
create function private.blocks_critical(of_user uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select q.block_critical_findings from public.quotas q where q.user_id = of_user), false)
    or (select s.value = 'true' from private.security_settings s where s.name = 'block_critical_findings');
end
$$;

-- Raises SECURITY_SCAN_FAILED where an agent has critical findings.
create function private.refuse_critical(of_agent text) returns void
language plpgsql stable set search_path = '' as $$
declare
  a public.agents;
  critical jsonb;
begin
  select * into a from public.agents x where x.id = of_agent;
  select jsonb_agg(f - '{source,url}'::text[]) into critical
    from jsonb_array_elements(private.posture_findings(a) || private.vulnerability_findings(a)) f
    where f ->> 'severity' = 'CRITICAL';
  if critical is not null then
    perform private.raise_error('SECURITY_SCAN_FAILED', 'Critical security findings block this deployment',
      jsonb_build_object('agent_id', of_agent, 'critical', jsonb_array_length(critical), 'findings', critical));
  end if;
end
$$;

-- Refuses to run what has critical findings, where the operator wants that. It stands before the deployment, so that
-- every door meets it: launch, deploy, start, PUT, PATCH, rollback. Scaling and restarting
-- what runs already are not refused.
-- Definer: reads all of it. Raises SECURITY_SCAN_FAILED.
create function private.tg_agent_deployments__gate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.blocks_critical(new.user_id) then
    perform private.refuse_critical(new.agent_id);
  end if;
  return new;
end
$$;
create trigger _200_gate_insert before insert on private.agent_deployments
  for each row when (new.desired = 'running') execute function private.tg_agent_deployments__gate();
create trigger _200_gate_update before update of generation on private.agent_deployments
  for each row when (new.desired = 'running' and new.generation <> old.generation
    and (new.revision <> old.revision or old.desired <> 'running' or old.phase = 'FAILED'))
  execute function private.tg_agent_deployments__gate();

-- Judges a running agent again when its texts change that are no part of a revision (role, description, a column added
-- later).
-- Definer: as above. Raises SECURITY_SCAN_FAILED.
create function private.tg_agents__gate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.blocks_critical(new.user_id)
     and exists (select from private.agent_deployments d where d.agent_id = new.id and d.desired = 'running'
       and d.removed_at is null)
     and (select jsonb_object_agg(x.place, x.content) from private.agent_texts(new) x)
       is distinct from (select jsonb_object_agg(x.place, x.content) from private.agent_texts(old) x) then
    perform private.refuse_critical(new.id);
  end if;
  return null;
end
$$;
create trigger _700_gate after update on public.agents
  for each row when (new.deleted_at is null) execute function private.tg_agents__gate();
