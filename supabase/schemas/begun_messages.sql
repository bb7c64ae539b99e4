-- Messages that an agent begins without being asked (a reminder, an alert of a plugin): its runtime appends them to a
-- conversation that the agent takes part in. They answer no message (reply_to and root_id are
-- null) and ask nobody for an answer.

-- Operators change these with an UPDATE, as the other limits.
insert into public.rate_limits (bucket, max_requests, window_seconds) values
  ('begun_messages', 20, 60), ('begun_messages_day', 500, 86400);

-- What each agent began: the same id again is the same message, also where its answer was lost, its runtime was killed,
-- or the message was deleted meanwhile. The message's own id is drawn here, so that no runtime learns which ids exist.
create table private.begun_messages (
  agent_id text not null references public.agents (id) on delete cascade,
  -- Made by the runtime.
  id uuid not null,
  message_id uuid not null default gen_random_uuid(),
  begun_at timestamptz not null default now(),
  constraint begun_messages_pkey primary key (agent_id, id)
);
alter table private.begun_messages enable row level security;
comment on table private.begun_messages is
  'Messages that agents began, by the ids of their runtimes; kept for two days.';
create index begun_messages_agent_id_begun_at_idx on private.begun_messages (agent_id, begun_at);
create index begun_messages_begun_at_idx on private.begun_messages (begun_at);

-- Longer than the longest window of the limits, and than any runtime tries again.
create function private.delete_begun_messages(batch integer default 5000) returns void
language sql volatile set search_path = '' as $$
  delete from private.begun_messages b where (b.agent_id, b.id) in (
    select x.agent_id, x.id from private.begun_messages x where x.begun_at < now() - interval '2 days' limit batch)
$$;
select cron.schedule('launchpad-begun-messages', '41 * * * *', 'select private.delete_begun_messages()');

-- Raises why an agent must not begin a message now: CONFLICT, RATE_LIMIT_EXCEEDED, RESOURCE_LIMIT_EXCEEDED, or what a
-- call of its model would be refused with (a used-up budget or token cap). The caller holds
-- the lock of the agent, so that the counts hold.
create function private.check_begins(a public.agents) returns void
language plpgsql volatile set search_path = '' as $$
declare
  bucket public.rate_limits;
  oldest timestamptz;
  probe constant uuid := gen_random_uuid();
  refusal jsonb;
begin
  if not exists (select from private.agent_deployments d where d.agent_id = a.id
    and d.desired in ('running', 'asleep')) then
    perform private.raise_error('CONFLICT', 'This agent is stopped; start it before it begins messages');
  end if;
  for bucket in select * from public.rate_limits l where l.bucket in ('begun_messages', 'begun_messages_day')
      order by l.window_seconds loop
    select b.begun_at into oldest from private.begun_messages b
      where b.agent_id = a.id and b.begun_at > now() - make_interval(secs => bucket.window_seconds)
      order by b.begun_at desc offset greatest(bucket.max_requests - 1, 0) limit 1;
    if found or bucket.max_requests = 0 then
      oldest := coalesce(oldest, now());
      perform private.raise_error('RATE_LIMIT_EXCEEDED',
        format('This agent began %s messages in %s seconds; it may begin the next one later', bucket.max_requests,
          bucket.window_seconds),
        jsonb_build_object('limit_type', bucket.bucket, 'limit', bucket.max_requests,
          'retryAfterSeconds', ceil(greatest(1, extract(epoch from oldest - now()) + bucket.window_seconds))));
    end if;
  end loop;
  -- Answers are counted beyond the quota, since a person asked for them.
  if exists (select from private.row_counts c join public.row_quotas q on q.relation = c.relation
      where c.user_id = a.user_id and c.relation in ('messages', 'agent_conversations')
        and (c.rows >= q.max_rows or c.bytes >= q.max_bytes)) then
    perform private.raise_error('RESOURCE_LIMIT_EXCEEDED',
      'The quota of messages is used up; delete some, or ask an operator for a larger quota');
  end if;
  -- Judged where calls are, so that there is one rule; a message itself costs nothing, and
  -- calls under way do not hold it up.
  refusal := private.reserve(probe, a.id, 'message', null, 0, 1, 60);
  delete from private.reservations r where r.id = probe;
  if not refusal ? 'id' and not refusal ? 'wait' then
    perform private.raise_error(refusal ->> 'code', refusal ->> 'message', refusal -> 'details');
  end if;
end
$$;

-- Definer: anon, as which runtimes call, has no rights here; the credential authorises first. Appends a message of the
-- agent to a conversation or a swarm, once for each id → {messageId}; null where another replica sends what services
-- begin. by_service: code that runs in every replica begins it, so that the one with the agent's platforms alone may
-- (private.hold_platforms).
-- Locks the agent, then the conversation, then the spending. Raises VALIDATION_ERROR, AGENT_NOT_FOUND, NOT_FOUND and
-- what private.check_begins raises.
create function private.runtime_begin_message(of_agent text, credential text, of_id uuid,
  conversation uuid, content text,
  replica text, by_service boolean) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  a public.agents;
  known uuid;
  of_swarm uuid;
begin
  perform private.check_runtime(of_agent, credential);
  perform private.raise_problems(
    private.problem_if(of_id is null, 'id', 'Must be a UUID')
    || private.problem_if(conversation is null, 'conversation_id', 'Must be the UUID of a conversation')
    || private.problem_if(private.is_blank(content), 'content', 'Content is required')
    || private.problem_if(length(content) > 32768, 'content', 'Must be at most 32768 characters')
    || private.problem_if(coalesce(octet_length(replica), 0) not between 1 and 200,
      'replica', 'Must have 1 to 200 characters'));
  select * into a from public.agents x where x.id = of_agent and x.deleted_at is null for no key update;
  if not found or private.is_erased(a.user_id) then
    perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
      left(of_agent, 100)));
  end if;
  select b.message_id into known from private.begun_messages b where b.agent_id = a.id and b.id = of_id;
  if found then
    return jsonb_build_object('messageId', known);
  end if;
  select s.swarm_id into of_swarm from public.swarm_agents s where s.swarm_id = conversation and s.agent_id = a.id
    for key share;
  if not found then
    -- Its lock waits for who deletes the conversation at this moment.
    perform from public.messages m where m.conversation_id = conversation and m.user_id = a.user_id
      and (m.to_agent_id = a.id or m.agent_id = a.id) limit 1 for key share;
    if not found then
      perform private.raise_error('NOT_FOUND',
        'This agent has no such conversation: it was deleted, or belongs to others; begin messages only where the '
          'agent was spoken to',
        '{"conversation_id": "Must be a conversation or swarm of this agent"}');
    end if;
  end if;
  perform private.check_begins(a);
  if by_service and not (private.hold_platforms(of_agent, credential, replica, false) ->> 'held')::boolean then
    return '{"messageId": null}';
  end if;
  insert into private.begun_messages (agent_id, id) values (a.id, of_id) returning message_id into known;
  insert into public.messages (id, user_id, swarm_id, conversation_id, agent_id, sender_kind, sender_name,
    content, status)
    values (known, a.user_id, of_swarm, case when of_swarm is null then conversation end, a.id, 'agent', a.name,
      content, 'complete');
  return jsonb_build_object('messageId', known);
end
$$;
comment on function private.runtime_begin_message(text, text, uuid, uuid, text, text, boolean) is
  'Appends a message that an agent begins, once.';
grant execute on function private.runtime_begin_message(text, text, uuid, uuid, text, text, boolean) to anon;

create function public.runtime_begin_message(agent_id text, credential text, id uuid, conversation_id uuid,
  content text, replica text,
  by_service boolean default false) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.runtime_begin_message(agent_id, credential, id, conversation_id, content, replica,
  by_service); end $$;
revoke execute on function public.runtime_begin_message(text, text, uuid, uuid, text, text, boolean)
  from public, authenticated, service_role;
grant execute on function public.runtime_begin_message(text, text, uuid, uuid, text, text, boolean) to anon;
comment on function public.runtime_begin_message(text, text, uuid, uuid, text, text, boolean) is
  'Runtime: appends a message that its agent begins to one of its conversations, once for each id.';

revoke execute on all functions in schema private from public;
