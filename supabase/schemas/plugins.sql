-- Plugins: which packages agents may name, what they were resolved to, and the list of what may be named.
-- Names are judged here when they are written; versions once the controller has found them (record_plugins).

-- Operators allow and deny packages. The most exact pattern decides; of two equally exact ones
-- the denial. No rule: not allowed.
create table private.plugin_rules (
  -- A package's name, `@scope/*`, or `*`; of MCP servers `mcp:*`, or `mcp:https://host/*`.
  pattern text not null,
  action text not null default 'allow',
  -- Comparisons that a version must all meet, such as `>=1.2.0 <2.0.0`; empty: every version.
  versions text not null default '',
  -- Whether no package of the whole tree may have a known vulnerability.
  require_advisory_free boolean not null default false,
  reason text,
  created_at timestamptz not null default now(),
  constraint plugin_rules_pkey primary key (pattern, action, versions),
  constraint plugin_rules_pattern_form
    check (pattern ~ ('^(\*|@[a-z0-9][a-z0-9._-]*/\*|(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*|'
    || 'mcp:\*|mcp:(?!https://[^/]*:443/|http://[^/]*:80/)https?://([a-z0-9.-]+|'
      '\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?/\*)$') and private.mcp_host_problem(pattern) is null),
  constraint plugin_rules_action_known check (action in ('allow', 'deny')),
  constraint plugin_rules_versions_form check (versions ~ '^((^| )(>=|<=|>|<|=)[0-9]+\.[0-9]+\.[0-9]+)*$'),
  constraint plugin_rules_reason_length check (length(reason) <= 300)
);
alter table private.plugin_rules enable row level security;
comment on table private.plugin_rules is 'Which npm packages agents may name as plugins.';
insert into private.plugin_rules (pattern) values ('@elizaos/*'), ('@elizaos-plugins/*'), ('mcp:*');

-- Packages that were resolved once or come with the runtime. Sole writer: record_plugins, and this migration.
create table private.plugins (
  name text primary key,
  version text not null,
  description text not null default '',
  -- elizaos: makes an agent one of elizaOS. any: works with every agent.
  engine text not null,
  -- [{name, required, description}]: what is set in the agent's environment.
  settings jsonb not null default '[]',
  seen_at timestamptz not null default now(),
  constraint plugins_engine_known check (engine in ('elizaos', 'model', 'any')),
  constraint plugins_description_length check (length(description) <= 500),
  constraint plugins_settings_size check (octet_length(settings::text) <= 16384)
);
alter table private.plugins enable row level security;
comment on table private.plugins is 'Plugins that are known: version, settings and engine.';
insert into private.plugins (name, version, description, engine, settings) values
  ('@elizaos/plugin-discord', '1.3.8', 'Discord: the agent answers in channels and direct messages', 'elizaos',
    '[{"name": "DISCORD_API_TOKEN", "required": true, "description": "The bot''s token"},
      {"name": "DISCORD_APPLICATION_ID", "required": false, "description": "The application''s id"}]'),
  ('@elizaos/plugin-supabase', 'built-in', 'Reads and writes tables of a Supabase project', 'any',
    '[{"name": "SUPABASE_ANON_KEY", "required": true, "description": "The project''s publishable (anon) key"},
      {"name": "SUPABASE_URL", "required": false,
        "description": "The project''s address, where supabase_config names no project_ref"},
      {"name": "SUPABASE_ACCESS_TOKEN", "required": false,
        "description": "A user''s token, whose rows the agent works with"}]'),
  ('@elizaos/plugin-telegram', '1.6.4', 'Telegram: the agent answers in private chats and groups', 'elizaos',
    '[{"name": "TELEGRAM_BOT_TOKEN", "required": true, "description": "The bot''s token, as @BotFather shows it"},
      {"name": "TELEGRAM_ALLOWED_CHATS", "required": false,
        "description": "A JSON list of the chats'' ids that it answers in; left out, every chat"},
      {"name": "TELEGRAM_API_ROOT", "required": false, "description": "The address of another Bot API server"}]'),
  ('@elizaos/plugin-web3', 'built-in', 'Prices of coins and public data of chains', 'any',
    '[{"name": "COINGECKO_API_KEY", "required": false, "description": "A key of CoinGecko''s API"},
      {"name": "WEB3_RPC_URL", "required": false,
        "description": "A node''s JSON-RPC address, for balances and gas prices"}]');

-- The exact packages of a set of plugins: npm's lock file, by its digest. A revision names
-- one, and can be installed from it again.
create table private.plugin_trees (
  id text primary key,
  lock jsonb not null,
  created_at timestamptz not null default now(),
  constraint plugin_trees_id_is_digest check (id ~ '^[0-9a-f]{64}$'),
  constraint plugin_trees_lock_size check (octet_length(lock::text) <= 4194304)
);
alter table private.plugin_trees enable row level security;
comment on table private.plugin_trees is 'Lock files that revisions'' plugins were resolved to.';

create table private.plugin_tree_packages (
  tree_id text not null references private.plugin_trees (id) on delete cascade,
  package text not null,
  version text not null,
  install_script boolean not null default false,
  licence text,
  constraint plugin_tree_packages_pkey primary key (tree_id, package, version)
);
alter table private.plugin_tree_packages enable row level security;
comment on table private.plugin_tree_packages is 'The packages of each lock file, for scans.';

-- Whether a version meets every comparison of a list such as `>=1.2.0 <2.0.0`. A pre-release counts as its version.
create function private.version_meets(version text, comparisons text) returns boolean
language sql immutable set search_path = ''
return (
  select coalesce(bool_and(case x.parts[1] when '>=' then v.n >= x.n when '<=' then v.n <= x.n when '>' then v.n > x.n
      when '<' then v.n < x.n else v.n = x.n end), true)
  from (select string_to_array(substring(version_meets.version from '^[0-9]+\.[0-9]+\.[0-9]+'), '.')::numeric[] as n) v,
    (select m.parts, string_to_array(m.parts[2], '.')::numeric[] as n
     from regexp_matches(comparisons, '(>=|<=|>|<|=)([0-9]+\.[0-9]+\.[0-9]+)', 'g') m (parts)) x
);

-- A version as a list that sorts as versions do: numbers by their value, a pre-release before
-- its release, then its parts.
create function private.version_order(version text) returns text[]
language sql immutable set search_path = ''
return (
  select array_agg(lpad(n.part, 20, '0') collate "C" order by n.place)
    || case when m.parts[2] is null then array['2' collate "C"]
    else (select array_agg(case when i.part ~ '^[0-9]+$' then '0' || lpad(i.part, 50, '0') else '1'
      || i.part end collate "C" order by i.place)
      from unnest(string_to_array(m.parts[2], '.')) with ordinality i (part, place)) end
  from regexp_match(version, '^([0-9]+\.[0-9]+\.[0-9]+)(?:-([0-9A-Za-z.-]+))?') m (parts),
    unnest(string_to_array(m.parts[1], '.')) with ordinality n (part, place)
  group by m.parts
);

-- The pattern that names all of a package's scope, or all of an MCP server's origin.
create function private.plugin_scope(package text) returns text
language sql immutable set search_path = ''
return case when private.is_mcp_plugin(package)
  then regexp_replace(substring(package from '^mcp:https?://[^/?]+'), '^(mcp:https://.*):443$|^(mcp:http://.*):80$',
    '\1\2') || '/*'
  else substring(package from '^@[^/]+/') || '*' end;

-- The rule that decides about a package. Without a version (not resolved yet) only a rule that
-- no version could escape denies.
create function private.plugin_rule(package text, version text) returns private.plugin_rules
language sql stable set search_path = ''
return (
  select r from private.plugin_rules r
  where (r.pattern in ('*', plugin_rule.package, private.plugin_scope(plugin_rule.package))
      or r.pattern = 'mcp:*' and private.is_mcp_plugin(plugin_rule.package))
    and case when plugin_rule.version is null then r.versions = '' or r.action = 'allow'
      else private.version_meets(plugin_rule.version, r.versions) end
  order by case when r.pattern = '*' then 0 when r.pattern = 'mcp:*' then 1 when r.pattern like '%/*' then 2
    else 3 end desc, r.action = 'deny' desc,
    r.require_advisory_free desc
  limit 1
);

-- Why a package may not be named, or null.
create function private.plugin_refusal(package text, version text) returns text
language plpgsql stable set search_path = '' as $$
declare
  rule private.plugin_rules := private.plugin_rule(package, version);
begin
  if rule.action = 'allow' or package = any (private.built_in_plugins()) and rule.action is null then
    return null;
  elsif rule.action = 'deny' then
    return format('Operators do not allow %s%s', package || coalesce('@' || version, ''),
      coalesce(': ' || rule.reason, ''));
  end if;
  return format('Operators do not allow %s; they can with `launchpad plugins rules allow %s`', package
    || coalesce('@' || version, ''), package);
end
$$;
comment on function private.plugin_refusal(text, text) is 'Why operators do not allow a package as a plugin.';

-- Judges names when they are written; those that were there before stay. Definer: reads rules.
-- Raises PLUGIN_NOT_ALLOWED.
create function private.tg_agents__allow_plugins() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  problems jsonb;
begin
  if new.plugins = '{}' then
    return new;
  end if;
  select jsonb_object_agg('plugins.' || (p.place - 1), private.plugin_refusal(x.package, x.version)) into problems
  from unnest(new.plugins) with ordinality p (plugin, place), private.plugin_parts(p.plugin) x
  where (tg_op = 'INSERT' or not p.plugin = any (old.plugins))
    and private.plugin_refusal(x.package, x.version) is not null;
  if problems is not null then
    perform private.raise_error('PLUGIN_NOT_ALLOWED',
      (select string_agg(value, '. ' order by key) from jsonb_each_text(problems)), problems);
  end if;
  return new;
end
$$;
create trigger _210_allow_plugins before insert or update of plugins on public.agents
  for each row execute function private.tg_agents__allow_plugins();

-- Whether each of these packages, [{package, version}], was ever looked up: {}, or {due: how many were not, error?}.
-- Asks for the look-up of what is due, unless one failed within the last minute: `error` says why.
create function private.looked_up(packages jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  due bigint;
  failed text;
begin
  select count(*), max(c.error) filter (where c.attempted_at > now() - interval '1 minute') into due, failed
    from jsonb_to_recordset(packages) x (package text, version text)
    left join private.package_checks c using (package, version) where c.checked_at is null;
  if due = 0 then
    return '{}';
  elsif failed is null then
    insert into private.package_checks as c (package, version, attempted_at, requested_at)
      select distinct x.package, x.version, '-infinity'::timestamptz, now()
      from jsonb_to_recordset(packages) x (package text, version text)
      where length(x.package) between 1 and 214 and length(x.version) between 1 and 100
      on conflict (package, version) do update set requested_at = now()
        where c.checked_at is null and coalesce(c.requested_at <= c.attempted_at, true);
    if found then
      perform private.want_advisories();
    end if;
  end if;
  return jsonb_strip_nulls(jsonb_build_object('due', due, 'error', failed));
end
$$;

-- Takes what a controller resolved the plugins of a generation to, judges the versions, and keeps it in the revision:
-- {tree, engine, plugins: [{name, version, integrity}], known: [{name, version, description, engine, settings}], lock,
-- packages: [{package, version, install_script, licence}]}. A revision that was resolved keeps what it has.
-- Returns {accepted: true, resolved} or {accepted: false, reason, message}. ADVISORIES_DUE: a rule waits for a look-up,
-- which has been asked for; ask again, unless there is `error`: why the look-up failed within the last minute. Definer:
-- service_role has no rights on private tables.
create function private.record_plugins(of_agent text, of_generation bigint, token uuid, resolved jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  d private.agent_deployments;
  kept jsonb;
  refusal text;
  looked jsonb;
begin
  select * into d from private.agent_deployments x where x.agent_id = of_agent and x.generation = of_generation
    and x.lease_token = token and x.desired <> 'absent' for update;
  if not found then
    perform private.raise_error('CONFLICT', 'No lease on this generation of this agent');
  end if;
  select string_agg(r.refusal, '. ') into refusal from (
    select private.plugin_refusal(p ->> 'name', p ->> 'version') as refusal
    from jsonb_array_elements(resolved -> 'plugins') p) r;
  if refusal is not null then
    return jsonb_build_object('accepted', false, 'reason', 'PLUGIN_NOT_ALLOWED', 'message', refusal);
  end if;
  if exists (select from jsonb_array_elements(resolved -> 'plugins') p
      where (private.plugin_rule(p ->> 'name', p ->> 'version')).require_advisory_free) then
    looked := private.looked_up(resolved -> 'packages');
    if looked ? 'due' then
      return jsonb_strip_nulls(jsonb_build_object('accepted', false, 'reason', 'ADVISORIES_DUE', 'error',
        looked -> 'error', 'message', 'The rules want the advisories of every package, and they are not known'));
    end if;
    select string_agg(format('%s %s (%s)', v.package, v.version, v.advisory_id), ', ' order by v.package) into refusal
      from jsonb_to_recordset(resolved -> 'packages') x (package text, version text)
      join private.advisories v on v.package = x.package and v.version = x.version and v.agent_id = '';
    if refusal is not null then
      return jsonb_build_object('accepted', false, 'reason', 'PLUGIN_NOT_ALLOWED', 'message',
        left('The rules allow only packages without known vulnerabilities: ' || refusal, 2000));
    end if;
  end if;
  insert into private.plugin_trees (id, lock) values (resolved ->> 'tree', resolved -> 'lock') on conflict do nothing;
  if found then
    insert into private.plugin_tree_packages (tree_id, package, version, install_script, licence)
      select resolved ->> 'tree', x.package, x.version, bool_or(coalesce(x.install_script, false)),
        left(max(x.licence), 200)
      from jsonb_to_recordset(resolved -> 'packages') x (package text, version text,
        install_script boolean, licence text)
      where length(x.package) between 1 and 214 and length(x.version) between 1 and 100
      group by x.package, x.version;
    perform private.want_advisories();
  end if;
  insert into private.plugins as p (name, version, description, engine, settings)
    select k.name, k.version, left(coalesce(k.description, ''), 500), k.engine,
      case when octet_length(k.settings::text) <= 16384 then k.settings else '[]' end
    from jsonb_to_recordset(resolved -> 'known') k (name text, version text, description text, engine text,
      settings jsonb)
    where length(k.name) <= 214 and length(k.version) <= 100
    -- An agent with an older version does not lower what is listed.
    on conflict (name) do update set version = excluded.version, description = excluded.description,
      engine = excluded.engine,
      settings = excluded.settings, seen_at = now()
      where coalesce(private.version_order(excluded.version) >= private.version_order(p.version), true);
  update public.agent_revisions r
    set resolved_plugins = jsonb_build_object('tree', resolved -> 'tree', 'engine', resolved -> 'engine', 'plugins',
      resolved -> 'plugins')
    where r.agent_id = of_agent and r.revision = d.revision and r.resolved_plugins is null;
  select r.resolved_plugins into kept from public.agent_revisions r where r.agent_id = of_agent
    and r.revision = d.revision;
  return jsonb_build_object('accepted', true, 'resolved', kept);
end
$$;

-- The lock file of a tree; null: not known. Definer: as above.
create function private.plugin_tree(of_id text) returns jsonb
language sql stable security definer set search_path = ''
return (select t.lock from private.plugin_trees t where t.id = of_id);

-- The trees that a revision names: a controller's store may forget the others. Definer: as above.
create function private.wanted_plugin_trees() returns jsonb
language sql stable security definer set search_path = ''
return (select coalesce(jsonb_agg(distinct r.resolved_plugins ->> 'tree'), '[]') from public.agent_revisions r
  where r.resolved_plugins is not null);

-- Lock files that no revision names go after a day.
create function private.forget_plugin_trees() returns void
language sql volatile set search_path = '' as $$
  delete from private.plugin_trees t where t.created_at < now() - interval '1 day'
    and not exists (select from public.agent_revisions r where r.resolved_plugins ->> 'tree' = t.id)
$$;
select cron.schedule('launchpad-forget-plugin-trees', '53 3 * * *', 'select private.forget_plugin_trees()');

grant execute on function private.record_plugins(text, bigint, uuid, jsonb), private.plugin_tree(text),
  private.wanted_plugin_trees()
  to service_role;
create function public.record_plugins(agent_id text, generation bigint, lease_token uuid, resolved jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.record_plugins(agent_id, generation, lease_token, resolved); end $$;
create function public.plugin_tree(id text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.plugin_tree(id); end $$;
create function public.wanted_plugin_trees() returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.wanted_plugin_trees(); end $$;
revoke execute on function public.record_plugins(text, bigint, uuid, jsonb), public.plugin_tree(text),
  public.wanted_plugin_trees()
  from public, anon, authenticated;
grant execute on function public.record_plugins(text, bigint, uuid, jsonb), public.plugin_tree(text),
  public.wanted_plugin_trees()
  to service_role;
comment on function public.record_plugins(text, bigint, uuid, jsonb) is
  'Controller: keeps what the plugins of an agent were resolved to.';
comment on function public.plugin_tree(text) is 'Controller: the lock file of a set of plugins.';
comment on function public.wanted_plugin_trees() is 'Controller: the sets of plugins that revisions name.';

insert into private.verbs (name, permission, status, idempotent) values ('list_plugins', 'agents:read', 200, false);

-- GET /api/plugins: known plugins that the rules allow, by name. query: words that name or description hold.
create function private.verb_list_plugins(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  most integer := coalesce((args ->> 'limit')::integer, 20);
  skip integer := coalesce((args ->> 'offset')::integer, 0);
  words text[] := string_to_array(lower(trim(coalesce(args ->> 'query', ''))), ' ');
  binding text := private.list_binding('plugins', caller, jsonb_build_array(args ->> 'query'));
  last_seen text[];
  answer jsonb;
begin
  perform private.check_page(most, skip, args ->> 'after');
  perform private.raise_problems(private.problem_if(length(args ->> 'query') > 200,
    'query', 'Must have at most 200 characters'));
  last_seen := private.cursor_keys(args ->> 'after', binding, '{text}');
  with allowed as (
    select p.* from private.plugins p where private.plugin_refusal(p.name, nullif(p.version, 'built-in')) is null
      and not exists (select from unnest(words) w where strpos(lower(p.name || ' ' || p.description), w) = 0)
  ), page as (
    select * from allowed a where last_seen is null or a.name > last_seen[1] order by a.name limit most + 1 offset skip
  )
  select private.page('plugins',
    jsonb_agg(jsonb_build_object('name', p.name, 'version', p.version, 'description', p.description,
        'engine', p.engine, 'settings', p.settings) order by p.name),
      jsonb_agg(jsonb_build_array(p.name) order by p.name), most, binding)
    || jsonb_build_object('total', (select count(*) from allowed)) into answer
  from page p;
  return answer;
end
$$;

create function public.list_plugins(query text default null, "limit" integer default 20, "offset" integer default 0,
  "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('list_plugins', jsonb_build_object('query', query, 'limit', "limit", 'offset', "offset",
    'after', "after"));
end
$$;
revoke execute on function public.list_plugins(text, integer, integer, text) from public, anon, service_role;
grant execute on function public.list_plugins(text, integer, integer, text) to authenticated;
comment on function public.list_plugins(text, integer, integer, text) is
  'Plugins that may be named, with version, engine and settings.';

revoke execute on all functions in schema private from public;
