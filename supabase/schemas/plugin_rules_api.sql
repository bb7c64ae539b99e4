-- How operators keep the rules for plugins, each change in one call that says what it refuses now; and what a changed
-- rule does to agents that have the plugin already: what runs goes on, the next launch is
-- refused, and the status says so (docs/plugins.md).

-- A rule as operators are answered.
create function private.plugin_rule_told(r private.plugin_rules) returns jsonb
language sql immutable set search_path = ''
return jsonb_build_object('pattern', r.pattern, 'action', r.action, 'versions', r.versions,
  'require_advisory_free', r.require_advisory_free, 'reason', r.reason, 'created_at', private.iso(r.created_at));

-- The plugins of an agent that the rules refuse now: {"plugins.0": why}. Versions are those
-- that a revision was resolved to.
create function private.denied_plugins(a public.agents, of_revision integer) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if cardinality(a.plugins) = 0 then
    return '{}';
  end if;
  return (
    select coalesce(jsonb_object_agg('plugins.' || (p.place - 1), v.refusal) filter (where v.refusal is not null), '{}')
    from unnest(a.plugins) with ordinality p (plugin, place), private.plugin_parts(p.plugin) x,
      lateral (select private.plugin_refusal(x.package, coalesce(x.version, (
        select q ->> 'version' from public.agent_revisions r, jsonb_array_elements(r.resolved_plugins -> 'plugins') q
        where r.agent_id = a.id and r.revision = of_revision and q ->> 'name' = x.package limit 1))) as refusal) v);
end
$$;
comment on function private.denied_plugins(public.agents, integer) is
  'The plugins of an agent that operators refuse now.';

-- Refuses to launch an agent with plugins that were denied since they were named. Called by
-- begin_deployment and request_change.
-- Raises PLUGIN_NOT_ALLOWED.
create function private.refuse_denied_plugins(a public.agents, of_revision integer) returns void
language plpgsql stable set search_path = '' as $$
declare
  denied jsonb := private.denied_plugins(a, of_revision);
begin
  if denied <> '{}' then
    perform private.raise_error('PLUGIN_NOT_ALLOWED', (select string_agg(d.value, '. ' order by d.key)
      from jsonb_each_text(denied) d), denied);
  end if;
end
$$;

-- The condition PluginsAllowed of an agent, as an array for its status; empty where the rules allow what it has.
create function private.plugin_rule_conditions(a public.agents, of_revision integer) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  denied jsonb := private.denied_plugins(a, of_revision);
begin
  return case when denied = '{}' then '[]'
    else jsonb_build_array(jsonb_build_object('type', 'PluginsAllowed', 'status', 'False',
    'reason', 'PLUGIN_NOT_ALLOWED', 'message',
      left((select string_agg(d.value, '. ' order by d.key) from jsonb_each_text(denied) d), 600)
      || '. Running replicas go on; the next launch is refused until plugins change')) end;
end
$$;
comment on function private.plugin_rule_conditions(public.agents, integer) is
  'The condition PluginsAllowed of an agent.';

-- How many agents name a plugin that the rules refuse.
create function private.agents_refused() returns bigint
language sql stable set search_path = ''
return (
  with refused as (
    select n.plugin from (select distinct p as plugin from public.agents a, unnest(a.plugins) p
      where a.deleted_at is null) n,
      private.plugin_parts(n.plugin) x
    where private.plugin_refusal(x.package, x.version) is not null)
  select count(*) from public.agents a where a.deleted_at is null and a.plugins
    && array(select r.plugin from refused r));

-- What a refused pattern was probably meant to be, as a problem that names it; null where that is not plain.
create function private.pattern_meant(pattern text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  server text := substring(lower(pattern)
    from '^(?:mcp:)?(https?://(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[1-9][0-9]{0,4})?)(?:[/?#]|$)');
  scope text := substring(lower(pattern) from '^(@[a-z0-9][a-z0-9._-]*)/?$');
begin
  if server is not null then
    return format('Rules for an MCP server are about its origin: write mcp:%s/*',
      regexp_replace(server, '^(https://.*):443$|^(http://.*):80$', '\1\2'));
  elsif lower(pattern) in ('mcp:', 'mcp/*', 'mcp:/*') then
    return 'For every MCP server write mcp:*, for one of them mcp:https://host/*';
  elsif scope is not null then
    return format('For every package of a scope write %s/*', scope);
  elsif pattern ~ '^@?[^@\s]+@.' then
    return 'Must have no version: name it in versions';
  end if;
  return null;
end
$$;

-- Adds a rule, or changes the named parts of one. rule: {pattern, action?, versions?, require_advisory_free?, reason?}.
-- One pattern has one rule for the same versions: an allowance takes the place of a denial. Raises VALIDATION_ERROR.
-- Returns the rule, `agents_refused`, and `still_refused` where another rule refuses a package that this one allows.
-- Definer: service_role has no rights on private tables.
create function private.put_plugin_rule(rule jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(rule, '{"pattern": "string!", "action": "string", "versions": "string",
    "require_advisory_free": "boolean", "reason": "string"}', 'rule.');
  wanted private.plugin_rules;
  broken text;
begin
  perform private.raise_problems(problems);
  wanted.pattern := rule ->> 'pattern';
  wanted.action := coalesce(rule ->> 'action', 'allow');
  wanted.versions := regexp_replace(trim(coalesce(rule ->> 'versions', '')), ' +', ' ', 'g');
  begin
    insert into private.plugin_rules as r (pattern, action, versions, require_advisory_free, reason)
      values (wanted.pattern, wanted.action, wanted.versions, coalesce((rule ->> 'require_advisory_free')::boolean,
        false), rule ->> 'reason')
      on conflict (pattern, action, versions) do update set
        require_advisory_free = case when rule ? 'require_advisory_free' then excluded.require_advisory_free
          else r.require_advisory_free end,
        reason = case when rule ? 'reason' then excluded.reason else r.reason end
      returning * into wanted;
  exception when check_violation then
    get stacked diagnostics broken = constraint_name;
    perform private.raise_problems(
      private.problem_if(broken = 'plugin_rules_pattern_form', 'rule.pattern',
        coalesce(private.mcp_host_problem(wanted.pattern), private.pattern_meant(wanted.pattern),
          'Must be the name of a package, @scope/*, mcp:*, mcp:https://host/*, or *'))
      || private.problem_if(broken = 'plugin_rules_action_known', 'rule.action', 'Must be allow or deny')
      || private.problem_if(broken = 'plugin_rules_versions_form', 'rule.versions',
        'Must be comparisons such as ">=1.2.0 <2.0.0"')
      || private.problem_if(broken = 'plugin_rules_reason_length', 'rule.reason', 'Must have at most 300 characters'));
    raise;
  end;
  delete from private.plugin_rules r
    where r.pattern = wanted.pattern and r.versions = wanted.versions and r.action <> wanted.action;
  return private.plugin_rule_told(wanted)
    || jsonb_strip_nulls(jsonb_build_object('agents_refused', private.agents_refused(),
    'still_refused', case when wanted.action = 'allow' and wanted.pattern !~ '\*$'
      then private.plugin_refusal(wanted.pattern, null) end));
end
$$;

-- Removes the rules of a pattern: all, or those with an action or with versions. Raises NOT_FOUND. Definer: as above.
create function private.remove_plugin_rule(of_pattern text, of_action text, of_versions text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  removed jsonb;
begin
  with gone as (
    delete from private.plugin_rules r where r.pattern = of_pattern and (of_action is null or r.action = of_action)
      and (of_versions is null or r.versions = trim(of_versions)) returning r)
  select jsonb_agg(private.plugin_rule_told(g.r) order by (g.r).action, (g.r).versions) into removed from gone g;
  if removed is null then
    perform private.raise_error('NOT_FOUND', format('No such rule for %s', left(of_pattern, 214)),
      '{"pattern": "Must be the pattern of a rule"}');
  end if;
  return jsonb_build_object('removed', removed, 'agents_refused', private.agents_refused());
end
$$;

-- Every rule, by pattern, with how many agents they refuse. Definer: as above.
create function private.plugin_rules_told() returns jsonb
language sql stable security definer set search_path = ''
return jsonb_build_object('rules', (
    select coalesce(jsonb_agg(private.plugin_rule_told(r) order by r.pattern, r.action, r.versions), '[]')
      from private.plugin_rules r),
  'agents_refused', private.agents_refused());

grant execute on function private.put_plugin_rule(jsonb), private.remove_plugin_rule(text, text, text),
  private.plugin_rules_told()
  to service_role;
create function public.put_plugin_rule(rule jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.put_plugin_rule(rule); end $$;
create function public.remove_plugin_rule(pattern text, action text default null,
  versions text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.remove_plugin_rule(pattern, action, versions); end $$;
create function public.list_plugin_rules() returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.plugin_rules_told(); end $$;
revoke execute on function public.put_plugin_rule(jsonb), public.remove_plugin_rule(text, text, text),
  public.list_plugin_rules()
  from public, anon, authenticated;
grant execute on function public.put_plugin_rule(jsonb), public.remove_plugin_rule(text, text, text),
  public.list_plugin_rules()
  to service_role;
comment on function public.put_plugin_rule(jsonb) is
  'Operators: allows or denies packages as plugins, or changes a rule.';
comment on function public.remove_plugin_rule(text, text, text) is 'Operators: removes the rules of a pattern.';
comment on function public.list_plugin_rules() is 'Operators: the rules for plugins, and how many agents they refuse.';

revoke execute on all functions in schema private from public;
