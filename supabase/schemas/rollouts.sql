-- Rollouts: what operators change of all agents' pods (the image) reaches them in waves (docs/rollouts.md). Wanted and
-- reached stand here and in agent_deployments, so that every controller obeys and a restarted one goes on. When the
-- next wave comes, or none, controllers decide (packages/controller/src/fleet/waves.ts); how
-- many it has and who they are is decided here.

create table private.rollout (
  only_one boolean primary key default true,
  id uuid not null default gen_random_uuid(),
  -- finished: every agent has the target, or none was ever named. undone: operators went back,
  -- until they resume or name another.
  state text not null default 'finished',
  reason text,
  -- What the controllers are set to; what the targets are made with; and what those were made
  -- with that the last rollout finished.
  announced jsonb,
  content jsonb,
  previous_content jsonb,
  wave integer not null default 0,
  wave_at timestamptz not null default now(),
  -- Of the agents that a rollout concerns, how many a wave has; how many may fail before it
  -- stops; how long a wave must hold.
  percent integer not null default 10,
  max_failures integer not null default 0,
  soak_seconds integer not null default 30,
  -- Of this rollout alone: so many failures operators have seen and accepted.
  accepted_failures integer not null default 0,
  -- Whether a rollout waits for a person once the agents of the first users (private.rollout_canaries) are ready.
  canary_pauses boolean not null default false,
  canary_passed boolean not null default false,
  started_at timestamptz,
  finished_at timestamptz,
  constraint rollout_only_one check (only_one),
  constraint rollout_state_known check (state in ('running', 'paused', 'halted', 'undone', 'finished')),
  constraint rollout_percent_range check (percent between 1 and 100),
  constraint rollout_max_failures_range check (max_failures between 0 and 1000000),
  constraint rollout_soak_seconds_range check (soak_seconds between 0 and 86400),
  constraint rollout_content_size check (octet_length(announced::text) <= 16384 and octet_length(content::text) <= 16384
    and octet_length(previous_content::text) <= 16384)
);
alter table private.rollout enable row level security;
comment on table private.rollout is 'How far the change of all agents'' pods has come that operators want; one row.';
insert into private.rollout default values;

-- Whose agents come first.
create table private.rollout_canaries (
  user_id uuid primary key references auth.users (id) on delete cascade
);
alter table private.rollout_canaries enable row level security;
comment on table private.rollout_canaries is 'Users whose agents get a rollout first.';

-- What agents of each class of users shall have, and what they had before the rollout. '' is
-- everybody without a class of their own.
create table private.rollout_targets (
  class text primary key,
  target text not null references private.platforms (id),
  previous text references private.platforms (id)
);
alter table private.rollout_targets enable row level security;
create index rollout_targets_target_idx on private.rollout_targets (target);
create index rollout_targets_previous_idx on private.rollout_targets (previous);
comment on table private.rollout_targets is 'What of pods a rollout leads to, and from what.';

-- The class of a user whose targets count.
create function private.rollout_class(of_user uuid) returns text
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select nullif(q.agent_class, 'default') from public.quotas q where q.user_id = of_user), '');
end
$$;

-- What the agents of a class shall have, of what all shall have. Where a class may connect to is no matter of its pods;
-- its image stands in the place of the other, so that a new one of all does not concern it.
create function private.platform_of_class(content jsonb, c private.agent_classes) returns jsonb
language sql immutable set search_path = ''
return content || jsonb_strip_nulls(jsonb_build_object('image', c.image,
  'class', nullif(private.class_for_pods(c) - '{name,egress,image}'::text[], '{}')));

-- What an agent of the user gets that is new or changes its class: what is proven, while a rollout is not at its end.
create function private.stable_platform(of_user uuid) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select case when r.state = 'finished' then t.target else coalesce(t.previous, t.target) end
    from private.rollout r join private.rollout_targets t
      -- private.rollout_class, in the same statement.
      on t.class = coalesce((select nullif(q.agent_class, 'default') from public.quotas q where q.user_id = of_user),
        ''));
end
$$;

create function private.keep_platform(content jsonb) returns text
language plpgsql volatile set search_path = '' as $$
declare
  digest text := left(md5(content::text), 16);
begin
  insert into private.platforms (id, content) values (digest, content) on conflict do nothing;
  return digest;
end
$$;

-- Begins a rollout to what operators want now; without anything before it, or with what was
-- there before, agents get it at once.
-- Called with the rollout's row locked.
create function private.begin_rollout() returns void
language plpgsql volatile set search_path = '' as $$
declare
  r private.rollout;
begin
  select * into r from private.rollout;
  if r.content is null then
    return;
  end if;
  with wanted as (
    select case c.name when 'default' then '' else c.name end as class,
      private.keep_platform(private.platform_of_class(r.content, c)) as target
    from private.agent_classes c
  ), kept as (
    insert into private.rollout_targets as t (class, target) select w.class, w.target from wanted w
    on conflict (class) do update set target = excluded.target,
      -- What was on its way has proved nothing: before it is still what was before.
      previous = case when r.state = 'finished' then t.target else t.previous end
    returning t.class
  )
  delete from private.rollout_targets t where t.class not in (select w.class from wanted w);
  update private.rollout x set id = gen_random_uuid(), state = 'running', reason = null, wave = 0, wave_at = now(),
    accepted_failures = 0, canary_passed = false, started_at = now(), finished_at = null where x.only_one;
  -- What had none, runs whatever its controller is set to: that is no wave's matter.
  update private.agent_deployments d set platform = t.target from private.rollout_targets t
    where t.class = private.rollout_class(d.user_id) and d.removed_at is null
      and (d.platform is null or t.previous is null)
      and d.platform is distinct from t.target;
  -- Back to what is proven: for that no wave is needed.
  if not exists (select from private.rollout_targets t where t.previous is distinct from t.target
    and t.previous is not null) then
    perform private.finish_rollout();
  end if;
end
$$;

-- The target is everybody's, also of what is stopped.
create function private.finish_rollout() returns void
language plpgsql volatile set search_path = '' as $$
begin
  update private.agent_deployments d set platform = t.target from private.rollout_targets t
    where t.class = private.rollout_class(d.user_id) and d.removed_at is null and d.platform is distinct from t.target;
  update private.rollout x set state = 'finished', reason = null, previous_content = x.content, finished_at = now()
    where x.only_one;
end
$$;

-- A whole number within bounds, whatever it was.
create function private.bounded(value jsonb, least_value integer, most_value integer, otherwise integer) returns integer
language sql immutable set search_path = ''
return case when jsonb_typeof(value) = 'number' then least(most_value, greatest(least_value, value::numeric))::integer
  else otherwise end;

-- What the living controllers are set to begins a rollout, once they agree: during an upgrade
-- of the controllers they do not.
create function private.hear_platform() returns void
language plpgsql volatile set search_path = '' as $$
declare
  said jsonb;
  r private.rollout;
begin
  select min(x.platform::text)::jsonb into said from (
    select distinct c.report -> 'platform' as platform from private.controllers c
    where c.expires_at > now() and c.report -> 'platform' -> 'content' ->> 'image' is not null) x
  having count(*) = 1;
  if said is null or octet_length((said -> 'content')::text) > 16384
    or private.platform_problems(said -> 'content') <> '{}' then
    return;
  end if;
  select * into r from private.rollout;
  if (r.announced, r.percent, r.max_failures, r.soak_seconds) is not distinct from (said -> 'content',
      private.bounded(said -> 'percent', 1, 100, 10), private.bounded(said -> 'maxFailures', 0, 1000000, 0),
      private.bounded(said -> 'soakSeconds', 0, 86400, 30)) then
    return;
  end if;
  select * into r from private.rollout x for update;
  update private.rollout x set percent = private.bounded(said -> 'percent', 1, 100, 10),
    max_failures = private.bounded(said -> 'maxFailures', 0, 1000000, 0),
    soak_seconds = private.bounded(said -> 'soakSeconds', 0, 86400, 30) where x.only_one;
  if r.announced is distinct from said -> 'content' then
    update private.rollout x set announced = said -> 'content', content = said -> 'content' where x.only_one;
    perform private.begin_rollout();
    perform private.note_fleet_action('rollout', jsonb_build_object('image', said -> 'content' ->> 'image'));
  end if;
end
$$;

-- How far the rollout is; null when it is finished. Only running agents count: what is stopped has no pods.
create function private.rollout_state() returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  r private.rollout;
begin
  select * into r from private.rollout;
  if r.state = 'finished' then
    return null;
  end if;
  return (
    with concerned as (
      select d.*, d.platform is not distinct from t.target as admitted,
        d.platform_seen is not distinct from d.platform as seen,
        -- It was ready with the target and then failed, without a change of its owner's.
        d.phase = 'FAILED' and d.platform_seen = t.target
          and d.platform_at > coalesce((d.timings ->> 'requestedAt')::timestamptz, '-infinity') as broken
      from private.agent_deployments d join private.rollout_targets t on t.class = private.rollout_class(d.user_id)
      where d.removed_at is null and d.desired = 'running'
        and (d.rollout = r.id or d.platform is distinct from t.target)
    ), judged as (
      select c.*, case when not c.admitted then 'waiting' when c.broken then 'broken'
        when c.phase = 'FAILED' then 'idle'
        when c.seen then c.platform_state else 'updating' end as stands from concerned c
    )
    select jsonb_build_object('id', r.id, 'state', r.state, 'reason', r.reason, 'image', r.content ->> 'image',
      'previousImage', r.previous_content ->> 'image',
      'wave', r.wave, 'waveSeconds', round(extract(epoch from now() - r.wave_at), 1),
      'quietSeconds', round(extract(epoch
        from now() - greatest(r.wave_at, max(j.platform_at) filter (where j.admitted))), 1),
      'soakSeconds', r.soak_seconds, 'maxFailures', r.max_failures + r.accepted_failures, 'percent', r.percent,
      'canaryPauses', r.canary_pauses and not r.canary_passed and r.wave = 1
        and exists (select from judged w join private.rollout_canaries n using (user_id) where w.admitted),
      'total', count(*), 'waiting', count(*) filter (where j.stands = 'waiting'),
      'updating', count(*) filter (where j.stands = 'updating'), 'ready', count(*) filter (where j.stands = 'ready'),
      'idle', count(*) filter (where j.stands = 'idle'),
        'failed', count(*) filter (where j.stands in ('stuck', 'broken')),
      'problem', (select coalesce(w.platform_problem, w.message) from judged w where w.stands in ('stuck', 'broken')
        order by w.agent_id limit 1),
      'examples', coalesce((select jsonb_agg(x.agent_id) from (select w.agent_id from judged w
        where w.stands in ('stuck', 'broken', 'updating') order by w.stands = 'updating', w.agent_id limit 5) x), '[]'))
    from judged j);
end
$$;

-- One decision of a controller about the wave that it saw: admit the next wave, halt, or finish. Another controller may
-- have been faster: then nothing happens. Returns what operators want, as a heartbeat does. Definer: service_role has
-- no rights on private tables.
create function private.advance_rollout(rollout uuid, wave integer, decision text, reason text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  r private.rollout;
  share integer;
begin
  perform private.raise_problems(
    private.problem_if(coalesce(decision not in ('admit', 'halt', 'pause', 'finish'), true), 'decision',
      'Must be admit, halt, pause or finish')
    || private.problem_if(coalesce(length(reason) > 1000, false), 'reason', 'Must be at most 1000 characters'));
  select * into r from private.rollout x for update;
  if r.id is distinct from rollout or r.wave is distinct from wave or r.state <> 'running' then
    return private.fleet_state();
  elsif decision = 'finish' then
    perform private.finish_rollout();
  elsif decision in ('halt', 'pause') then
    update private.rollout x set state = case decision when 'halt' then 'halted' else 'paused' end,
      reason = advance_rollout.reason
      where x.only_one;
  else
    select greatest(1, ceil(count(*) * r.percent / 100.0)) into share
    from private.agent_deployments d join private.rollout_targets t on t.class = private.rollout_class(d.user_id)
    where d.removed_at is null and d.desired = 'running' and (d.rollout = r.id or d.platform is distinct from t.target);
    with outdated as (
      select d.agent_id, t.target, r.wave = 0 and exists (select from private.rollout_canaries n
        where n.user_id = d.user_id) as canary,
        -- What another attempt left stuck risks nothing; what does not serve proves nothing.
        d.platform_state is not distinct from 'stuck' as stuck, d.phase = 'DEPLOYED' and d.ready_replicas > 0 as serves
      from private.agent_deployments d join private.rollout_targets t on t.class = private.rollout_class(d.user_id)
      where d.removed_at is null and d.desired = 'running' and d.platform is distinct from t.target
    ), chosen as (
      select o.agent_id, o.target from outdated o
      where o.canary or not exists (select from outdated c where c.canary)
      order by o.stuck desc, o.serves desc, md5(r.id::text || o.agent_id)
      limit case when exists (select from outdated c where c.canary) then null else share end
    )
    update private.agent_deployments d set platform = c.target, rollout = r.id from chosen c
      where d.agent_id = c.agent_id;
    update private.rollout x set wave = x.wave + 1, wave_at = now() where x.only_one;
  end if;
  perform private.note_fleet_action('rollout', jsonb_build_object('decision', decision, 'wave', r.wave,
    'reason', reason));
  return private.fleet_state();
end
$$;

-- What operators do with the rollout. pause: no further wave; resume: goes on, with the failures that there are
-- accepted; undo: all agents go back to what they had before. Raises VALIDATION_ERROR, CONFLICT. Definer: as above.
create function private.fleet_rollout(action text, reason text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  r private.rollout;
  stands jsonb;
begin
  perform private.raise_problems(
    private.problem_if(coalesce(action not in ('pause', 'resume', 'undo'), true),
      'action', 'Must be pause, resume or undo')
    || private.problem_if(coalesce(length(reason) > 500, false), 'reason', 'Must be at most 500 characters'));
  select * into r from private.rollout x for update;
  stands := private.rollout_state();
  if r.state = 'finished' or (action = 'pause' and r.state <> 'running') or (action = 'undo' and r.state = 'undone')
      or (action = 'resume' and r.state = 'running') then
    perform private.raise_error('CONFLICT', format('The rollout is %s', r.state), jsonb_build_object('action',
      case when r.state = 'finished' then 'Needs a rollout; a new agents.image or a changed class begins one'
        else format('Cannot %s a rollout that is %s', action, r.state) end));
  elsif action = 'pause' then
    update private.rollout x set state = 'paused', reason = fleet_rollout.reason where x.only_one;
  elsif action = 'undo' then
    update private.agent_deployments d set platform = t.previous, rollout = null from private.rollout_targets t
      where t.class = private.rollout_class(d.user_id) and d.removed_at is null and t.previous is not null
        and d.platform is distinct from t.previous;
    update private.rollout x set state = 'undone', reason = fleet_rollout.reason,
      content = coalesce(x.previous_content, x.content)
      where x.only_one;
  elsif r.state = 'undone' then
    update private.rollout x set content = coalesce(x.announced, x.content) where x.only_one;
    perform private.begin_rollout();
  else
    update private.rollout x set state = 'running', reason = null, wave_at = now(),
      accepted_failures = greatest(0, (stands ->> 'failed')::integer
        + case when r.state = 'halted' then (stands ->> 'updating')::integer else 0 end - r.max_failures),
      canary_passed = x.wave > 0 where x.only_one;
  end if;
  perform private.note_fleet_action('rollout ' || action, jsonb_build_object('reason', reason));
  return private.fleet_state();
end
$$;

-- Whose agents get every later rollout first; with `pauses` a person then says when the rest
-- follows. Raises VALIDATION_ERROR.
-- Definer: as above.
create function private.fleet_rollout_canary(users jsonb, pauses boolean) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  wrong boolean;
begin
  perform private.raise_problems(private.problem_if(coalesce(jsonb_typeof(users) <> 'array'
    or jsonb_array_length(users) > 100, true),
    'users', 'Must be a list of at most 100 users'));
  select exists (select from jsonb_array_elements_text(users) u
    where not exists (select from auth.users x where x.id::text = u))
    into wrong;
  perform private.raise_problems(private.problem_if(wrong,
    'users', 'Must be ids of users, as `launchpad fleet list` shows them'));
  delete from private.rollout_canaries n where n.user_id is not null;
  insert into private.rollout_canaries (user_id) select distinct u::uuid from jsonb_array_elements_text(users) u;
  update private.rollout x set canary_pauses = coalesce(pauses, false) where x.only_one;
  perform private.note_fleet_action('rollout canary', jsonb_build_object('users', jsonb_array_length(users),
    'pauses', pauses));
  return private.fleet_state();
end
$$;

-- Another class of pods reaches its users' agents as another image does: in waves. One that no
-- user has concerns no agent.
create function private.tg_agent_classes__roll_out() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  r private.rollout;
  made text;
begin
  select * into r from private.rollout x for update;
  if r.content is null then
    return null;
  end if;
  if new.name = 'default' or exists (select from public.quotas q where q.agent_class = new.name) then
    perform private.begin_rollout();
  else
    made := private.keep_platform(private.platform_of_class(r.content, new));
    insert into private.rollout_targets as t (class, target) values (new.name, made)
    on conflict (class) do update set target = excluded.target, previous = null;
  end if;
  return null;
end
$$;
create trigger _800_roll_out_added after insert on private.agent_classes
  for each row execute function private.tg_agent_classes__roll_out();
create trigger _800_roll_out_changed after update on private.agent_classes
  for each row when (private.platform_of_class('{}', old) is distinct from private.platform_of_class('{}', new))
  execute function private.tg_agent_classes__roll_out();

create function private.tg_agent_classes__forget_target() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from private.rollout_targets t where t.class = old.name;
  return null;
end
$$;
create trigger _800_forget_target after delete on private.agent_classes
  for each row execute function private.tg_agent_classes__forget_target();

-- A user with another class gets what is proven of it, at once: these few agents are what the operator means.
create function private.tg_quotas__platform() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update private.agent_deployments d set platform = private.stable_platform(new.user_id)
    where d.user_id = new.user_id and d.removed_at is null
      and d.platform is distinct from private.stable_platform(new.user_id);
  return null;
end
$$;
create trigger _800_platform after update of agent_class on public.quotas
  for each row when (new.agent_class is distinct from old.agent_class) execute function private.tg_quotas__platform();

grant execute on function private.advance_rollout(uuid, integer, text, text), private.fleet_rollout(text, text),
  private.fleet_rollout_canary(jsonb, boolean) to service_role;

create function public.advance_rollout(rollout uuid, wave integer, decision text,
  reason text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.advance_rollout(rollout, wave, decision, reason); end $$;
create function public.fleet_rollout(action text, reason text default null) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_rollout(action, reason); end $$;
create function public.fleet_rollout_canary(users jsonb default '[]', pauses boolean default false) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_rollout_canary(users, pauses); end $$;
revoke execute on function public.advance_rollout(uuid, integer, text, text), public.fleet_rollout(text, text),
  public.fleet_rollout_canary(jsonb, boolean) from public, anon, authenticated;
grant execute on function public.advance_rollout(uuid, integer, text, text), public.fleet_rollout(text, text),
  public.fleet_rollout_canary(jsonb, boolean) to service_role;
comment on function public.advance_rollout(uuid, integer, text, text) is
  'Controller: what it decides about the wave that it saw.';
comment on function public.fleet_rollout(text, text) is
  'Operators: pauses, resumes or undoes the rollout of a new image.';
comment on function public.fleet_rollout_canary(jsonb, boolean) is 'Operators: whose agents get a rollout first.';

revoke execute on all functions in schema private from public;
