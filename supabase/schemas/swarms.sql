-- Swarms, the agents in them, and messages: between people and swarms, and between a person and one agent.

create table public.swarms (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null,
  description text,
  -- Who answers a person's message: all agents, those addressed as @Name, or one after another in rounds.
  reply_mode text not null default 'all',
  -- How often each agent may answer what follows from one message of a person.
  max_turns integer not null default 2,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
alter table public.swarms enable row level security;
create index swarms_user_id_created_at_idx on public.swarms (user_id, created_at desc);
grant select, delete on public.swarms to authenticated;
grant insert (user_id, name, description, reply_mode, max_turns) on public.swarms to authenticated;
grant update (name, description, reply_mode, max_turns, updated_at) on public.swarms to authenticated;
grant select, insert, update, delete on public.swarms to service_role;
create policy "owners can read their swarms" on public.swarms for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "owners can create swarms" on public.swarms for insert to authenticated
  with check ((select auth.uid()) = user_id);
create policy "owners can update their swarms" on public.swarms for update to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "owners can delete their swarms" on public.swarms for delete to authenticated
  using ((select auth.uid()) = user_id);
create trigger _050_authorise before insert or update or delete on public.swarms
  for each statement when (current_user = 'authenticated') execute function private.tg_agents__authorise();
create trigger _060_own before insert on public.swarms
  for each row when (current_user = 'authenticated') execute function private.tg_rows__own();
comment on table public.swarms is 'Groups of agents that talk with a person and with each other.';

-- Definer: the checks read private helpers. Raises VALIDATION_ERROR, RESOURCE_LIMIT_EXCEEDED.
create function private.tg_swarms__validate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.raise_problems(
    private.problem_if(private.is_blank(new.name), 'name', 'Name is required')
    || private.problem_if(length(new.name) > 100, 'name', 'Name must be 1 to 100 characters')
    || private.problem_if(length(new.description) > 2000, 'description', 'Must be at most 2000 characters')
    || private.problem_if(coalesce(new.reply_mode not in ('all', 'addressed', 'rounds'), true), 'reply_mode',
         'Must be one of: all, addressed, rounds')
    || private.problem_if(coalesce(new.max_turns not between 1 and 20, true), 'max_turns', 'Must be between 1 and 20'));
  if tg_op = 'INSERT' and (select count(*) from public.swarms s where s.user_id = new.user_id) >= 200 then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', 'Maximum of 200 swarms reached', '{"limit": 200}');
  end if;
  new.updated_at := now();
  return new;
end
$$;
create trigger _200_validate before insert or update on public.swarms
  for each row execute function private.tg_swarms__validate();

create table public.swarm_agents (
  swarm_id uuid not null references public.swarms (id) on delete cascade,
  agent_id text not null references public.agents (id) on delete cascade,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  -- The order in which agents speak in rounds; a new one comes last.
  position integer not null,
  created_at timestamptz not null default now(),
  constraint swarm_agents_pkey primary key (swarm_id, agent_id)
);
alter table public.swarm_agents enable row level security;
create index swarm_agents_agent_id_idx on public.swarm_agents (agent_id);
create index swarm_agents_user_id_idx on public.swarm_agents (user_id);
grant select, delete on public.swarm_agents to authenticated;
grant insert (swarm_id, agent_id, user_id, position) on public.swarm_agents to authenticated;
grant update (position) on public.swarm_agents to authenticated;
grant select, insert, update, delete on public.swarm_agents to service_role;
create policy "owners can read their swarms' agents" on public.swarm_agents for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "owners can add agents to their swarms" on public.swarm_agents for insert to authenticated
  with check ((select auth.uid()) = user_id);
create policy "owners can reorder their swarms' agents" on public.swarm_agents for update to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "owners can take agents out of their swarms" on public.swarm_agents for delete to authenticated
  using ((select auth.uid()) = user_id);
create trigger _050_authorise before insert or update or delete on public.swarm_agents
  for each statement when (current_user = 'authenticated') execute function private.tg_agents__authorise();
create trigger _060_own before insert on public.swarm_agents
  for each row when (current_user = 'authenticated') execute function private.tg_rows__own();
comment on table public.swarm_agents is 'Which agents are in which swarm.';

-- Definer: reads who owns the swarm and the agent, whatever the caller may see. Locks the swarm, so that positions and
-- the count hold. Raises NOT_FOUND, AGENT_NOT_FOUND, RESOURCE_LIMIT_EXCEEDED.
create function private.tg_swarm_agents__validate() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  owner uuid;
begin
  select s.user_id into owner from public.swarms s where s.id = new.swarm_id
    and s.user_id = coalesce(new.user_id, s.user_id) for no key update;
  new.user_id := coalesce(new.user_id, owner);
  if owner is distinct from new.user_id then
    perform private.raise_error('NOT_FOUND', 'Swarm not found or access denied',
      '{"swarm_id": "Must be a swarm of yours"}');
  end if;
  if not exists (select from public.agents a where a.id = new.agent_id and a.user_id = owner
    and a.deleted_at is null) then
    perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
      left(new.agent_id, 100)));
  end if;
  if (select count(*) from public.swarm_agents x where x.swarm_id = new.swarm_id) >= 20 then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED', 'A swarm may have at most 20 agents', '{"limit": 20}');
  end if;
  new.position := coalesce(new.position,
    (select coalesce(max(x.position), 0) + 1 from public.swarm_agents x where x.swarm_id = new.swarm_id));
  return new;
end
$$;
create trigger _200_validate before insert on public.swarm_agents
  for each row execute function private.tg_swarm_agents__validate();

create table public.messages (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  -- Either a swarm, or a conversation with one agent (conversation_id).
  swarm_id uuid references public.swarms (id) on delete cascade,
  conversation_id uuid,
  -- To whom a person speaks outside of a swarm; null once that agent is deleted.
  to_agent_id text references public.agents (id) on delete set null,
  -- The sender; null for a person, and for an agent that is deleted (sender_deleted).
  agent_id text references public.agents (id) on delete set null,
  sender_kind text not null default 'user',
  sender_name text,
  sender_deleted boolean not null default false,
  content text not null,
  -- sent: by a person; complete: an answer; error: an answer that failed for good (see error).
  status text not null default 'sent',
  error jsonb,
  -- The message that this one answers, the person's message that began it, and the how-manieth turn it is since then.
  -- An agent's message without the two was begun by the agent itself.
  reply_to uuid references public.messages (id) on delete set null,
  root_id uuid,
  turn integer not null default 0,
  model text,
  -- Settings that had no effect as they are: [{field, message}].
  warnings jsonb not null default '[]',
  -- Of an answer without a text: why the agent is silent.
  silence text,
  -- Null where no provider told them.
  input_tokens integer,
  output_tokens integer,
  -- Of an answer: the knowledge it was given, [{path, chunk, heading?}], best first; null where the agent has none.
  sources jsonb,
  created_at timestamptz not null default clock_timestamp(),
  constraint messages_one_place check ((swarm_id is null) <> (conversation_id is null)),
  constraint messages_sender_known check (sender_kind in ('user', 'agent')),
  constraint messages_status_known check (status in ('sent', 'complete', 'error')),
  constraint messages_person_has_no_agent check (sender_kind = 'agent' or (agent_id is null and not sender_deleted)),
  constraint messages_content_bounded check (length(content) <= 200000)
);
alter table public.messages enable row level security;
create index messages_swarm_id_created_at_idx on public.messages (swarm_id, created_at desc);
create index messages_conversation_idx on public.messages (conversation_id, created_at desc)
  where conversation_id is not null;
create index messages_user_id_created_at_idx on public.messages (user_id, created_at desc);
create index messages_agent_id_idx on public.messages (agent_id);
create index messages_to_agent_id_idx on public.messages (to_agent_id);
create index messages_reply_to_idx on public.messages (reply_to);
grant select, delete on public.messages to authenticated;
-- agent_id may be named, as null: an answer is written by the answering side alone.
grant insert (user_id, swarm_id, conversation_id, to_agent_id, agent_id, content) on public.messages to authenticated;
grant select, delete on public.messages to service_role;
create policy "owners can read their messages" on public.messages for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "owners can write messages" on public.messages for insert to authenticated
  with check ((select auth.uid()) = user_id);
create policy "messages are not rewritten" on public.messages for update to authenticated using (false)
  with check (false);
create policy "owners can delete their messages" on public.messages for delete to authenticated
  using ((select auth.uid()) = user_id);
create trigger _050_authorise before insert or update or delete on public.messages
  for each statement when (current_user = 'authenticated') execute function private.tg_agents__authorise();
create trigger _060_own before insert on public.messages
  for each row when (current_user = 'authenticated') execute function private.tg_rows__own();
comment on table public.messages is 'What people and agents say, in swarms and in conversations with one agent.';

-- What is wrong with a person's message; where it goes must be the sender's own. Definer: reads owners.
-- Raises VALIDATION_ERROR, NOT_FOUND, AGENT_NOT_FOUND.
create function private.tg_messages__validate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.sender_kind <> 'user' then
    return new;
  end if;
  perform private.raise_problems(
    private.problem_if(private.is_blank(new.content), 'content', 'Content is required')
    || private.problem_if(length(new.content) > 32768, 'content', 'Must be at most 32768 characters')
    || private.problem_if(new.agent_id is not null,
      'agent_id', 'Must be null: only an agent''s own answer names it as its sender')
    || private.problem_if((new.swarm_id is null) = (new.to_agent_id is null),
      'swarm_id', 'Name either swarm_id or to_agent_id')
    || private.problem_if(new.swarm_id is not null and new.conversation_id is not null, 'conversation_id',
         'A swarm is its own conversation'));
  if new.swarm_id is not null then
    if not exists (select from public.swarms s where s.id = new.swarm_id and s.user_id = new.user_id) then
      perform private.raise_error('NOT_FOUND', 'Swarm not found or access denied',
        '{"swarm_id": "Must be a swarm of yours"}');
    end if;
  else
    if not exists (select from public.agents a where a.id = new.to_agent_id and a.user_id = new.user_id
      and a.deleted_at is null) then
      perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
        left(new.to_agent_id, 100)));
    end if;
    new.conversation_id := coalesce(new.conversation_id, gen_random_uuid());
  end if;
  return new;
end
$$;
create trigger _200_validate before insert on public.messages
  for each row execute function private.tg_messages__validate();

-- An agent that is deleted leaves its swarms and gives up its tools; what it said stays, its sender marked deleted.
create function private.leave_conversations(of_agent text) returns void
language sql volatile set search_path = '' as $$
  delete from public.agent_tools t where t.agent_id = of_agent;
  delete from public.swarm_agents s where s.agent_id = of_agent;
  update public.messages m set agent_id = null, sender_deleted = true where m.agent_id = of_agent;
  update public.messages m set to_agent_id = null where m.to_agent_id = of_agent;
$$;

-- Takes a deleted agent's name out of messages. Before the row goes, while messages still name it; DELETE /api/agents
-- keeps the row for a while and marks it instead. Definer: whoever deletes an agent has no right to change messages.
create function private.tg_agents__leave() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.leave_conversations(old.id);
  return case when tg_op = 'DELETE' then old else new end;
end
$$;
create trigger _400_leave before delete on public.agents
  for each row execute function private.tg_agents__leave();
create trigger _450_leave after update of deleted_at on public.agents
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function private.tg_agents__leave();

alter publication supabase_realtime add table public.messages;

-- Private channel swarm:<id>: what its agents are saying, while they say it.
create policy "owners can listen to their swarms" on realtime.messages for select to authenticated
  using (extension in ('broadcast', 'presence') and topic = (select realtime.topic()) and exists (
    select from public.swarms s
    where s.user_id = (select private.reader('agents:read')) and 'swarm:' || s.id = (select realtime.topic())));

revoke execute on all functions in schema private from public;
