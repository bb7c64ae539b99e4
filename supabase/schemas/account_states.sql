-- What becomes of an account that Auth marks: a ban stops its agents until it ends, a soft
-- deletion erases as a deletion does.
-- Auth's own service refuses a banned account's sign-ins; the doors of this project ask private.account_state.

-- Agents that a ban stopped, and that start again when it ends. One that its owner or an operator starts, stops or
-- deletes meanwhile is not touched again (generation).
create table private.suspended_agents (
  agent_id text primary key,
  user_id uuid not null,
  generation bigint not null,
  suspended_at timestamptz not null default now()
);
alter table private.suspended_agents enable row level security;
create index suspended_agents_user_id_idx on private.suspended_agents (user_id);
comment on table private.suspended_agents is 'Agents stopped by a ban of their owner, until it ends.';

-- Stops what runs of a banned account and drops its answers that have not begun. An agent that cannot be stopped must
-- not keep the ban from being set: it is tried again by private.apply_bans.
create function private.suspend_agents(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  running text;
begin
  for running in
    select d.agent_id from private.agent_deployments d
    where d.user_id = of_user and d.desired in ('running', 'asleep') and d.removed_at is null order by d.agent_id
  loop
    begin
      -- Locks go from the agent to its deployment, as in every verb.
      perform from public.agents a where a.id = running for update;
      perform private.request_change(running, 'stop', 'system', 'Stopped: the owner''s account is banned', false,
        '{"reason": "ACCOUNT_BANNED"}');
      update private.agent_deployments d set reason = 'ACCOUNT_BANNED', message = 'The owner''s account is banned'
        where d.agent_id = running;
      insert into private.suspended_agents as s (agent_id, user_id, generation)
        select d.agent_id, d.user_id, d.generation from private.agent_deployments d where d.agent_id = running
        on conflict (agent_id) do update set generation = excluded.generation, suspended_at = now();
    exception when others then
      raise warning 'launchpad: agent % of a banned account was not stopped: %', running, sqlerrm;
    end;
  end loop;
  delete from private.reply_jobs j where j.user_id = of_user and j.state = 'waiting';
end
$$;
comment on function private.suspend_agents(uuid) is 'Stops the agents of a banned account.';

-- Starts again what the ban stopped. One that cannot start (a quota that was lowered meanwhile) stays stopped.
create function private.resume_agents(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
declare
  stopped private.suspended_agents;
begin
  for stopped in delete from private.suspended_agents s where s.user_id = of_user returning * loop
    begin
      perform from public.agents a where a.id = stopped.agent_id for update;
      if exists (select from private.agent_deployments d where d.agent_id = stopped.agent_id and d.desired = 'stopped'
          and d.generation = stopped.generation and d.removed_at is null) then
        perform private.request_change(stopped.agent_id,
          'start', 'system', 'Started: the ban of the owner''s account ended');
      end if;
    exception when others then
      raise warning 'launchpad: agent % was not started after a ban: %', stopped.agent_id, sqlerrm;
    end;
  end loop;
end
$$;
comment on function private.resume_agents(uuid) is 'Starts the agents that a ban stopped.';

-- Whoever writes the ban: Auth's admin API, the dashboard, SQL. Definer: Auth's role has no rights here.
create function private.tg_users__apply_ban() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.account_state(new.id) = 'banned' then
    perform private.suspend_agents(new.id);
  else
    perform private.resume_agents(new.id);
  end if;
  return null;
end
$$;
create trigger _500_launchpad_apply_ban after update of banned_until on auth.users
  for each row when (new.banned_until is distinct from old.banned_until and new.deleted_at is null)
  execute function private.tg_users__apply_ban();

-- Called by pg_cron: a ban ends by time without a write, and a stop that failed is tried again.
create function private.apply_bans() returns void
language plpgsql volatile set search_path = '' as $$
begin
  perform private.suspend_agents(r.user_id)
    from (select distinct d.user_id from private.agent_deployments d where d.desired in ('running', 'asleep')
      and d.removed_at is null) r
    where private.account_state(r.user_id) = 'banned';
  perform private.resume_agents(s.user_id)
    from (select distinct x.user_id from private.suspended_agents x) s
      where private.account_state(s.user_id) = 'active';
end
$$;
comment on function private.apply_bans() is 'Starts agents whose owner''s ban has ended; run by pg_cron.';
select cron.schedule('launchpad-apply-bans', '* * * * *', 'select private.apply_bans()');

revoke execute on all functions in schema private from public;
