-- Which replica of an agent holds its platforms (a bot on Discord or Telegram): one at a time, since two with one token
-- answer twice or push each other out. The others stand by and ask again.

create table private.platform_leases (
  agent_id text primary key references public.agents (id) on delete cascade,
  replica text not null,
  expires_at timestamptz not null
);
alter table private.platform_leases enable row level security;
comment on table private.platform_leases is 'The replica of each agent that holds its platforms.';

-- Definer: anon, as which runtimes call, has no rights here; the credential authorises first. Takes, keeps or gives
-- back an agent's platforms for one replica → {held}. A lease lasts 30 seconds. Raises VALIDATION_ERROR.
create function private.hold_platforms(of_agent text, credential text, replica text, release boolean) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.check_runtime(of_agent, credential);
  perform private.raise_problems(private.problem_if(coalesce(octet_length(replica), 0) not between 1 and 200,
    'replica', 'Must have 1 to 200 characters'));
  if release then
    delete from private.platform_leases l where l.agent_id = of_agent and l.replica = hold_platforms.replica;
    return '{"held": false}';
  end if;
  insert into private.platform_leases as l (agent_id, replica, expires_at)
    select a.id, hold_platforms.replica, now() + interval '30 seconds' from public.agents a
    where a.id = of_agent and a.deleted_at is null and not private.is_erased(a.user_id)
    on conflict (agent_id) do update set replica = excluded.replica, expires_at = excluded.expires_at
      where l.replica = excluded.replica or l.expires_at <= now();
  return jsonb_build_object('held', found);
end
$$;
grant execute on function private.hold_platforms(text, text, text, boolean) to anon;

create function public.hold_platforms(agent_id text, credential text, replica text,
  release boolean default false) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.hold_platforms(agent_id, credential, replica, release); end $$;
revoke execute on function public.hold_platforms(text, text, text, boolean) from public, authenticated, service_role;
grant execute on function public.hold_platforms(text, text, text, boolean) to anon;
comment on function public.hold_platforms(text, text, text, boolean) is
  'Runtime: one replica takes, keeps or gives back the platforms of its agent.';

revoke execute on all functions in schema private from public;
