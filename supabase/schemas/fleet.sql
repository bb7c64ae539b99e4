-- What operators want of all controllers: the brake on removals, and whose cluster this is
-- (docs/what-can-delete-agents.md).
-- The wish stands here, so that every controller obeys it; each learns it with its heartbeat and before each removal.

create table private.fleet (
  only_one boolean primary key default true,
  -- removals: nothing is removed because the database does not know it. everything: nothing is changed at all.
  hold text,
  hold_reason text,
  held_at timestamptz,
  -- A person has seen how many things would be removed at once, and said yes: for a while.
  released_removals integer not null default 0,
  released_until timestamptz,
  -- Former databases of the cluster whose objects this one takes over.
  adopted text[] not null default '{}',
  constraint fleet_only_one check (only_one),
  constraint fleet_hold_known check (hold in ('removals', 'everything')),
  constraint fleet_released_not_negative check (released_removals >= 0)
);
alter table private.fleet enable row level security;
comment on table private.fleet is 'What operators want of all controllers; one row.';
insert into private.fleet default values;

-- Who did what to the fleet, for good. Operators share a key, so there is no name but what they give as the reason.
create table private.fleet_actions (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  action text not null,
  details jsonb not null default '{}'
);
alter table private.fleet_actions enable row level security;
comment on table private.fleet_actions is 'What operators did to all controllers, in order.';

-- What a controller must know before it acts: which database this is, and what operators want.
-- Seconds, not a time: clocks differ.
create function private.fleet_state() returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select jsonb_build_object('installation', i.id, 'adopted', to_jsonb(f.adopted), 'hold', f.hold,
    'holdReason', f.hold_reason,
    'release', case when f.released_until > now() then jsonb_build_object('removals', f.released_removals,
      'seconds', round(extract(epoch from f.released_until - now()), 1)) end,
    'rollout', private.rollout_state())
  from private.installation i, private.fleet f);
end
$$;

create function private.note_fleet_action(action text, details jsonb) returns void
language sql volatile set search_path = '' as $$
  insert into private.fleet_actions (action, details) values (action, jsonb_strip_nulls(details))
$$;

-- How the fleet is: what is wanted, what each controller says of it, how many agents are in
-- which phase, the last actions.
-- Definer: service_role has no rights on private tables.
create function private.fleet_status() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return private.fleet_state() || jsonb_build_object(
    'controllers', (select coalesce(jsonb_agg(jsonb_build_object('worker', c.worker, 'alive', c.expires_at > now(),
      'drained', c.drained,
        'heartbeatAt', private.iso(c.heartbeat_at), 'version', c.report ->> 'version', 'cluster',
          c.report ->> 'cluster',
        'held', (select count(*) from private.agent_deployments d where d.lease_holder = c.worker),
        'fleet', coalesce(c.report -> 'fleet', '{}')) order by c.worker), '[]')
      from private.controllers c where c.heartbeat_at > now() - interval '1 day'),
    'phases', (select coalesce(jsonb_object_agg(p.phase, p.n), '{}') from (select d.phase, count(*) as n
      from private.agent_deployments d where d.removed_at is null group by d.phase) p),
    'actions', (select coalesce(jsonb_agg(jsonb_build_object('at', private.iso(a.at), 'action', a.action,
      'details', a.details)
        order by a.id desc), '[]') from (select * from private.fleet_actions x order by x.id desc limit 10) a));
end
$$;

-- Takes over what another database's controllers made. Naming it is the word of a person who has read which one it is.
-- Raises VALIDATION_ERROR. Definer: as above.
create function private.fleet_adopt(other text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.raise_problems(
    private.problem_if(coalesce(other !~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$', true), 'installation',
      'Must be the id of a database, as the controller''s log names it')
    || private.problem_if(coalesce(other = (select i.id::text from private.installation i), false), 'installation',
      'Is this database; there is nothing to adopt'));
  update private.fleet f set adopted = case when other = any (f.adopted) then f.adopted else f.adopted || other end
    where f.only_one;
  perform private.note_fleet_action('adopt', jsonb_build_object('installation', other));
  return private.fleet_state();
end
$$;

-- Holds every controller, until fleet_release. Raises VALIDATION_ERROR. Definer: as above.
create function private.fleet_hold(scope text, reason text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.raise_problems(
    private.problem_if(coalesce(scope not in ('removals', 'everything'), true),
      'scope', 'Must be removals or everything')
    || private.problem_if(coalesce(length(reason) > 500, false), 'reason', 'Must be at most 500 characters'));
  update private.fleet set hold = scope, hold_reason = reason, held_at = now(), released_removals = 0,
    released_until = null
    where only_one;
  perform private.note_fleet_action('hold', jsonb_build_object('scope', scope, 'reason', reason));
  return private.fleet_state();
end
$$;

-- Ends a hold. With `removals`: for so many minutes up to that many things may go at once,
-- though the brake would stop it.
-- Raises VALIDATION_ERROR. Definer: as above.
create function private.fleet_release(removals integer, minutes integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.raise_problems(
    private.problem_if(coalesce(removals not between 0 and 1000000, false), 'removals', 'Must be between 0 and 1000000')
    || private.problem_if(coalesce(minutes not between 1 and 1440, true), 'minutes', 'Must be between 1 and 1440'));
  -- While nothing was changed, no agent of a wave could get ready: it has its time from now on.
  update private.rollout r set wave_at = now() from private.fleet f where f.hold = 'everything' and r.state = 'running';
  update private.fleet set hold = null, hold_reason = null, held_at = null, released_removals = coalesce(removals, 0),
    released_until = case when removals > 0 then now() + make_interval(mins => minutes) end
    where only_one;
  perform private.note_fleet_action('release', jsonb_build_object('removals', removals, 'minutes',
    case when removals > 0 then minutes end));
  return private.fleet_state();
end
$$;
-- Tries again what FAILED (a new generation of the same revision), and at once what waits after an error: after an
-- outage, a policy that was wrong, a quota that was raised. What the user's quota or the rules for plugins do not allow
-- is skipped. Locks agents, then deployments.
-- of_reason: only those that FAILED for it; null: all. Raises VALIDATION_ERROR. Definer: as above.
create function private.fleet_retry(of_reason text, max_count integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  each record;
  retried integer := 0;
  skipped integer := 0;
  hastened integer;
begin
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 10000, true), 'max_count',
    'Must be between 1 and 10000'));
  for each in
    select d.agent_id from private.agent_deployments d
    where d.removed_at is null and d.desired = 'running' and d.phase = 'FAILED'
      and (of_reason is null or d.reason = of_reason)
    order by d.updated_at limit max_count
  loop
    begin
      perform from public.agents a where a.id = each.agent_id for update;
      perform from private.agent_deployments d where d.agent_id = each.agent_id and d.phase = 'FAILED' for update;
      if found then
        perform private.request_change(each.agent_id, 'retry', 'operator', 'Tried again by an operator');
        retried := retried + 1;
      end if;
    exception when sqlstate 'PGRST' then
      skipped := skipped + 1;
    end;
  end loop;
  update private.agent_deployments d set next_attempt_at = now(), attempts = 0
    where d.removed_at is null and d.generation > d.observed_generation and d.next_attempt_at > now();
  get diagnostics hastened = row_count;
  perform private.note_fleet_action('retry', jsonb_build_object('reason', of_reason, 'retried', retried,
    'hastened', hastened, 'skipped', skipped));
  return jsonb_build_object('retried', retried, 'hastened', hastened, 'skipped', skipped);
end
$$;

-- Takes everything from one controller, and gives it nothing more until it starts anew: others take over at once. On
-- processes its replicas end. undo: it may claim again. Raises NOT_FOUND. Definer: as above.
create function private.fleet_drain(of_worker text, undo boolean) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  released integer := 0;
begin
  update private.controllers c set drained = not undo where c.worker = of_worker;
  if not found then
    perform private.raise_error('NOT_FOUND', 'No such controller', jsonb_build_object('controller',
      'Must be a controller that fleet_status names'));
  end if;
  if not undo then
    update private.agent_deployments d set lease_holder = null, lease_token = null where d.lease_holder = of_worker;
    get diagnostics released = row_count;
  end if;
  perform private.note_fleet_action(case when undo then 'undrain' else 'drain' end,
    jsonb_build_object('controller', of_worker, 'released', released));
  return jsonb_build_object('controller', of_worker, 'drained', not undo, 'released', released);
end
$$;

-- Agents of all users, those that need a person first. phase, reason: only those; null: all. Definer: as above.
create function private.fleet_list(of_phase text, of_reason text, max_count integer, skip integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.raise_problems(
    private.problem_if(coalesce(max_count not between 1 and 1000, true), 'max_count', 'Must be between 1 and 1000')
    || private.problem_if(coalesce(skip < 0, true), 'skip', 'Must be at least 0'));
  return (
    with wanted as (
      select d.* from private.agent_deployments d
      where d.removed_at is null and (of_phase is null or d.phase = upper(of_phase))
        and (of_reason is null or d.reason = of_reason)
    )
    select jsonb_build_object('total', (select count(*) from wanted), 'agents', (
      select coalesce(jsonb_agg(jsonb_build_object('agentId', w.agent_id, 'userId', w.user_id, 'name', a.name,
        'class', coalesce(q.agent_class, 'default'), 'phase', w.phase,
        'reason', w.reason, 'message', coalesce(w.message, w.last_error, w.platform_problem),
          'image', p.content ->> 'image', 'imageState', case
          when w.platform is distinct from w.platform_seen then 'updating' else w.platform_state end,
            'replicas', w.target_replicas, 'ready', w.ready_replicas,
        'settled', w.generation <= w.observed_generation, 'attempts', w.attempts, 'controller', w.lease_holder,
        'updatedAt', private.iso(w.updated_at)) order by w.rank, w.updated_at, w.agent_id), '[]')
      from (select x.*, case when x.phase = 'FAILED' or x.platform_state = 'stuck' then 0
        when x.generation > x.observed_generation
          or (x.phase = 'DEPLOYED' and x.ready_replicas = 0 and x.target_replicas > 0) then 1 else 2 end as rank
        from wanted x order by rank, x.updated_at, x.agent_id limit max_count offset skip) w
      left join public.agents a on a.id = w.agent_id left join private.platforms p on p.id = w.platform
      left join public.quotas q on q.user_id = w.user_id)));
end
$$;
grant execute on function private.fleet_status(), private.fleet_adopt(text), private.fleet_hold(text, text),
  private.fleet_release(integer, integer), private.fleet_retry(text, integer), private.fleet_drain(text, boolean),
  private.fleet_list(text, text, integer, integer) to service_role;

create function public.fleet_status() returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.fleet_status(); end $$;
create function public.fleet_adopt(installation text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_adopt(installation); end $$;
create function public.fleet_hold(scope text default 'removals', reason text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_hold(scope, reason); end $$;
create function public.fleet_release(removals integer default null, minutes integer default 15) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_release(removals, minutes); end $$;
create function public.fleet_retry(reason text default null, max_count integer default 1000) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_retry(reason, max_count); end $$;
create function public.fleet_drain(controller text, undo boolean default false) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_drain(controller, undo); end $$;
create function public.fleet_list(phase text default null, reason text default null, max_count integer default 100,
  skip integer default 0) returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.fleet_list(phase, reason, max_count, skip); end $$;
revoke execute on function public.fleet_status(), public.fleet_adopt(text), public.fleet_hold(text, text),
  public.fleet_release(integer, integer), public.fleet_retry(text, integer), public.fleet_drain(text, boolean),
  public.fleet_list(text, text, integer, integer)
  from public, anon, authenticated;
grant execute on function public.fleet_status(), public.fleet_adopt(text), public.fleet_hold(text, text),
  public.fleet_release(integer, integer), public.fleet_retry(text, integer), public.fleet_drain(text, boolean),
  public.fleet_list(text, text, integer, integer)
  to service_role;
comment on function public.fleet_status() is 'Operators: how all controllers are, and what is wanted of them.';
comment on function public.fleet_adopt(text) is
  'Operators: takes over what another database''s controllers made in the cluster.';
comment on function public.fleet_hold(text, text) is
  'Operators: no controller removes what the database does not know, or changes anything.';
comment on function public.fleet_retry(text, integer) is
  'Operators: tries again what FAILED, and at once what waits after an error.';
comment on function public.fleet_drain(text, boolean) is
  'Operators: takes all agents from one controller, or lets it claim again.';
comment on function public.fleet_list(text, text, integer, integer) is
  'Operators: agents of all users, those that need a person first.';
comment on function public.fleet_release(integer, integer) is
  'Operators: ends a hold; confirms removals that the brake stopped.';

revoke execute on all functions in schema private from public;
