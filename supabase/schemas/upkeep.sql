-- Upkeep: what a project needs done beside requests and clusters, by the edge function `upkeep`: files of deleted
-- agents are removed, known vulnerabilities of packages in use looked up. The database calls the function with a
-- signature when there is work; the function claims it. A lost call costs latency, never work:
-- the sweeps below call again.

-- Queues one signed POST to the function `upkeep`: a hint, as the one to `respond` is. work:
-- file_removals or advisories.
create function private.post_to_upkeep(work text) returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.post_signed('launchpad_functions_url', 'launchpad_respond_secret', '/upkeep',
    jsonb_build_object('work', work));
end
$$;
comment on function private.post_to_upkeep(text) is 'Calls the function `upkeep`; never fails its caller.';

-- Agents that are gone and whose files still have to go. Only the Storage API can delete the bytes (docs/adr/0105).
-- What remains is seen in storage.objects each time: losing an answer loses no file.
create table private.file_removals (
  agent_id text primary key,
  requested_at timestamptz not null default now(),
  next_attempt_at timestamptz not null default now(),
  attempts integer not null default 0,
  last_error text
);
alter table private.file_removals enable row level security;
create index file_removals_next_attempt_at_idx on private.file_removals (next_attempt_at);
comment on table private.file_removals is 'Deleted agents whose files are to be removed through the Storage API.';

-- How long an upload link that was signed before the deletion still works.
create function private.upload_link_life() returns interval
language sql immutable set search_path = ''
return interval '2 hours 10 minutes';

-- Has the files of a deleted agent removed: at once where there are some, else by the sweep, which takes many agents in
-- one call. Definer: whoever deletes an agent has no rights on private tables.
create function private.tg_agents__remove_files() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.file_removals (agent_id) values (old.id) on conflict do nothing;
  if found and exists (select from private.agent_files(old.id, 1)) then
    perform private.post_to_upkeep('file_removals');
  end if;
  return null;
end
$$;
create trigger _510_remove_files after delete on public.agents
  for each row execute function private.tg_agents__remove_files();
create trigger _520_remove_files after update of deleted_at on public.agents
  for each row when (new.deleted_at is not null and old.deleted_at is null)
    execute function private.tg_agents__remove_files();

-- Whether an agent's files may go: operators hold no removals, and the agent does not exist,
-- as after a restored backup.
create function private.may_remove_files(of_agent text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return not exists (select from private.fleet f where f.hold is not null)
    and not exists (select from public.agents a where a.id = of_agent and a.deleted_at is null);
end
$$;

-- Takes up to max_count agents whose files are due, each for half a minute and longer after each failure:
-- [{agentId, files: [{bucket, names}]}], at most 1000 names each. Definer: as above. Locks the
-- rows taken (skip locked).
create function private.claim_file_removals(max_count integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  taken text[];
begin
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 100, true), 'max_count',
    'Must be between 1 and 100'));
  with due as (
    select r.agent_id from private.file_removals r
    where r.next_attempt_at <= now() and private.may_remove_files(r.agent_id)
    order by r.next_attempt_at limit max_count for update skip locked
  ), claimed as (
    update private.file_removals r set attempts = r.attempts + 1,
      next_attempt_at = now() + interval '30 seconds' * 2 ^ least(r.attempts, 7)
    from due where r.agent_id = due.agent_id returning r.agent_id
  )
  select coalesce(array_agg(c.agent_id), '{}') into taken from claimed c;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('agentId', t.agent_id, 'files', (
      select coalesce(jsonb_agg(jsonb_build_object('bucket', f.bucket, 'names', f.names) order by f.bucket), '[]')
      from (select x.bucket, jsonb_agg(x.name order by x.name) as names from private.agent_files(t.agent_id, 1000) x
        group by x.bucket) f))), '[]')
    from unnest(taken) as t (agent_id));
end
$$;

-- What became of a claimed removal. error: why it failed; it is tried again later. Else: files that are left are due at
-- once, and when none are left a last look follows after the signed upload links have run out. Definer: as above.
create function private.report_file_removal(of_agent text, error text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  remaining boolean := exists (select from private.agent_files(of_agent, 1));
begin
  if error is not null then
    update private.file_removals r set last_error = left(error, 1000) where r.agent_id = of_agent;
  elsif remaining then
    update private.file_removals r set next_attempt_at = now(), attempts = 0 where r.agent_id = of_agent;
  else
    delete from private.file_removals r
      where r.agent_id = of_agent and r.requested_at < now() - private.upload_link_life();
    update private.file_removals r set next_attempt_at = r.requested_at + private.upload_link_life(), attempts = 0,
      last_error = null
      where r.agent_id = of_agent;
  end if;
  return jsonb_build_object('remaining', remaining);
end
$$;
grant execute on function private.claim_file_removals(integer), private.report_file_removal(text, text) to service_role;

create function public.claim_file_removals(max_count integer default 20) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.claim_file_removals(max_count); end $$;
create function public.report_file_removal(agent_id text, error text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.report_file_removal(agent_id, error); end $$;
revoke execute on function public.claim_file_removals(integer), public.report_file_removal(text, text)
  from public, anon, authenticated;
grant execute on function public.claim_file_removals(integer), public.report_file_removal(text, text) to service_role;
comment on function public.claim_file_removals(integer) is
  'Upkeep: claims deleted agents whose files are to be removed.';
comment on function public.report_file_removal(text, text) is 'Upkeep: what became of a removal of files.';

-- Calls the function while files of deleted agents are due.
create function private.sweep_file_removals() returns void
language plpgsql volatile set search_path = '' as $$
begin
  if exists (select from private.file_removals r where r.next_attempt_at <= now()
    and private.may_remove_files(r.agent_id))
    then
    perform private.post_to_upkeep('file_removals');
  end if;
end
$$;
select cron.schedule('launchpad-file-removals', '30 seconds', 'select private.sweep_file_removals()');

-- When packages are next looked up: one row. A claim moves it by two minutes, so that one worker looks up at a time.
create table private.advisory_schedule (
  one boolean primary key default true,
  next_at timestamptz not null default now(),
  constraint advisory_schedule_one_row check (one)
);
alter table private.advisory_schedule enable row level security;
comment on table private.advisory_schedule is 'When known vulnerabilities are next looked up.';
insert into private.advisory_schedule default values;

-- Has packages looked up now instead of within the hour.
create function private.want_advisories() returns void
language plpgsql volatile set search_path = '' as $$
begin
  update private.advisory_schedule s set next_at = now() where s.next_at > now();
  perform private.post_to_upkeep('advisories');
end
$$;

-- Takes what the runtime ships ([{set, package, version, install_script}]; null: not known to this worker) and returns
-- the packages that are due: [{package, version}]. Empty before the scheduled time, and while another worker looks up;
-- none due: again after retry_hours. Definer: service_role has no rights on private tables. Locks the schedule.
create function private.claim_advisories(runtime jsonb, max_count integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  rule jsonb := (select s.value from private.security_settings s where s.name = 'advisories');
  retry interval := make_interval(hours => (rule ->> 'retry_hours')::integer);
  due jsonb;
begin
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 5000, true), 'max_count',
    'Must be between 1 and 5000'));
  update private.advisory_schedule s set next_at = now() + interval '2 minutes' where s.next_at <= now();
  if not found then
    return '[]';
  end if;
  if runtime is not null then
    insert into private.runtime_packages as r (set_name, package, version, install_script)
      select distinct on (x.set, x.package, x.version) x.set, x.package, x.version, coalesce(x.install_script, false)
      from jsonb_to_recordset(runtime) as x (set text, package text, version text, install_script boolean)
      where length(x.package) between 1 and 214 and length(x.version) between 1 and 100
      order by x.set, x.package, x.version
      on conflict (set_name, package, version) do update set install_script = excluded.install_script, seen_at = now()
        where r.seen_at < now() - interval '1 hour' or r.install_script <> excluded.install_script;
    -- What no function has named for a day is not shipped any more.
    delete from private.runtime_packages r where r.seen_at < now() - interval '1 day';
  end if;
  with wanted as (
    select r.package, r.version from private.runtime_packages r
    union select t.package, t.version from private.plugin_tree_packages t
    union select p.package, p.version from public.agents a, unnest(a.plugins) x, private.plugin_parts(x) p
      where p.version is not null
    union select c.package, c.version from private.package_checks c where c.requested_at > now() - interval '1 hour'
  )
  select coalesce(jsonb_agg(jsonb_build_object('package', w.package, 'version', w.version)), '[]') into due
  from (
    select w.package, w.version from wanted w left join private.package_checks c using (package, version)
    -- What is too long to be kept would be due for ever.
    where length(w.package) between 1 and 214 and length(w.version) between 1 and 100
      and (c.package is null or c.requested_at > c.attempted_at
        or (coalesce(c.checked_at, '-infinity') < now() - make_interval(hours => (rule ->> 'recheck_hours')::integer)
          and c.attempted_at < now() - retry))
    order by w.package, w.version limit max_count
  ) w;
  if due = '[]' then
    update private.advisory_schedule s set next_at = now() + retry;
  end if;
  return due;
end
$$;

-- Takes the outcome of look-ups: [{package, version, error}] or [{package, version, advisories: [{id, severity, title,
-- url, vulnerable_versions}]}]. An error keeps what was known before, and the next look-up waits for retry_hours;
-- without one the worker may claim again at once. Definer: as above.
create function private.record_advisories(results jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  checked integer;
  stored integer;
begin
  insert into private.package_checks as c (package, version, checked_at, attempted_at, error)
    select distinct on (x.package, x.version) left(x.package, 214), left(x.version, 100),
      case when x.error is null then now() end,
      now(), left(x.error, 300)
    from jsonb_to_recordset(results) as x (package text, version text, error text)
    where x.package is not null and x.version is not null
    order by x.package, x.version
    on conflict (package, version) do update set checked_at = coalesce(excluded.checked_at, c.checked_at),
      attempted_at = excluded.attempted_at, error = excluded.error;
  get diagnostics checked = row_count;
  -- The answer replaces what was known of the package.
  delete from private.advisories v where v.source = 'npm' and (v.package, v.version) in (
    select x.package, x.version from jsonb_to_recordset(results) as x (package text, version text, error text)
      where x.error is null);
  insert into private.advisories (source, advisory_id, package, version, severity, title, url, vulnerable_versions)
    select distinct on (x.package, x.version, v.id) 'npm', left(v.id, 100), x.package, x.version,
      case lower(v.severity) when 'critical' then 'CRITICAL' when 'high' then 'HIGH' when 'moderate' then 'MEDIUM'
        when 'medium' then 'MEDIUM' else 'LOW' end,
      left(coalesce(v.title, v.id), 500), left(v.url, 500), left(v.vulnerable_versions, 200)
    from jsonb_to_recordset(results) as x (package text, version text, error text, advisories jsonb),
      jsonb_to_recordset(coalesce(x.advisories, '[]')) as v (id text, severity text, title text, url text,
        vulnerable_versions text)
    where x.error is null and v.id is not null
    order by x.package, x.version, v.id
    on conflict do nothing;
  get diagnostics stored = row_count;
  update private.advisory_schedule s set next_at = now() + case
    when exists (select from jsonb_to_recordset(results) as x (error text) where x.error is not null)
      then (select make_interval(hours => (r.value ->> 'retry_hours')::integer)
        from private.security_settings r where r.name = 'advisories')
    else interval '0' end;
  return jsonb_build_object('checked', checked, 'advisories', stored);
end
$$;
grant execute on function private.claim_advisories(jsonb, integer), private.record_advisories(jsonb) to service_role;

create function public.claim_advisories(runtime jsonb default null, max_count integer default 1000) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.claim_advisories(runtime, max_count); end $$;
create function public.record_advisories(results jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.record_advisories(results); end $$;
revoke execute on function public.claim_advisories(jsonb, integer), public.record_advisories(jsonb) from public, anon,
  authenticated;
grant execute on function public.claim_advisories(jsonb, integer), public.record_advisories(jsonb) to service_role;
comment on function public.claim_advisories(jsonb, integer) is 'Upkeep: claims packages whose advisories are due.';
comment on function public.record_advisories(jsonb) is 'Upkeep: stores what the advisory source answered.';

-- Calls the function when packages are to be looked up.
create function private.sweep_advisories() returns void
language plpgsql volatile set search_path = '' as $$
begin
  if exists (select from private.advisory_schedule s where s.next_at <= now()) then
    perform private.post_to_upkeep('advisories');
  end if;
end
$$;
select cron.schedule('launchpad-advisories', '* * * * *', 'select private.sweep_advisories()');

revoke execute on all functions in schema private from public;
