-- Steps of an answer: each call of a model or tool, each retrieval and approval, with times,
-- tokens, and what went in and came out.

-- No foreign key to messages: steps are written before their answer is. message_id is the answer's, which is known from
-- the beginning (reply_jobs.id); of an answer at the agent's address, which no message keeps,
-- the id that its caller was given.
-- Written by private.add_answer_step alone.
create table public.answer_steps (
  -- private.step_id of what its reporter calls it.
  id uuid primary key default gen_random_uuid(),
  message_id uuid not null,
  agent_id text not null references public.agents (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  -- 1, 2, 3 … in the order of their ends, over all attempts.
  index integer not null,
  kind text not null,
  -- The model, or the tool; of a retrieval where it looked.
  name text not null,
  -- ok; error: it failed; refused: the platform did not let it happen; pending: somebody has to decide.
  status text not null,
  started_at timestamptz not null,
  milliseconds integer not null,
  -- Of a model's call alone; null where its provider told nothing.
  input_tokens integer,
  output_tokens integer,
  cached_input_tokens integer,
  -- Secrets blanked, long texts cut.
  arguments jsonb,
  result text,
  -- {code, message}
  error jsonb,
  constraint answer_steps_message_id_agent_id_index_key unique (message_id, agent_id, index),
  constraint answer_steps_kind_known check (kind in ('model', 'tool', 'retrieval', 'approval')),
  constraint answer_steps_status_known check (status in ('ok', 'error', 'refused', 'pending'))
);
alter table public.answer_steps enable row level security;
create index answer_steps_agent_id_started_at_idx on public.answer_steps (agent_id, started_at desc);
create index answer_steps_user_id_started_at_idx on public.answer_steps (user_id, started_at desc);
create index answer_steps_started_at_idx on public.answer_steps using brin (started_at);
grant select on public.answer_steps to authenticated, service_role;
create policy "owners can read the steps of their agents' answers" on public.answer_steps for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.answer_steps is
  'What an answer was made of: calls of models and tools, retrievals, approvals; kept for 30 days.';

-- Bounds of one answer's steps, and of one text of a step.
create function private.step_limit(name text) returns integer
language sql immutable parallel safe set search_path = ''
return case name when 'of_answer' then 200 when 'bytes' then 4096 end;

-- A text out of a report, cut to so many bytes; null where the report has none.
create function private.step_text(value text, bytes integer) returns text
language sql immutable set search_path = ''
return case when octet_length(value) <= bytes then value
  -- Half of it at worst: a character has up to four bytes.
  else left(value, greatest(1, bytes::bigint * length(value) / octet_length(value) / 2)::integer) || '…' end;

-- The id of a step: whoever reports it names it, so that a report may come again. The same name in another answer, or
-- from another agent, is another step. One without a name (a uuid) is new each time.
create function private.step_id(of_message uuid, of_agent text, named text) returns uuid
language sql volatile set search_path = ''
return case when named ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
  then left(encode(sha256(convert_to(format('%s %s %s', of_message, lower(named), of_agent), 'UTF8')), 'hex'), 32)::uuid
  else gen_random_uuid() end;

-- Adds one step to an answer, once, and tells its channel (reply.step). Never raises because of what a step says: a
-- trace must not cost an answer. Returns whether it was added. For definers; the caller has judged who reports.
-- step: {id?, kind, name, status, startedAt (milliseconds since 1970), milliseconds, inputTokens?, outputTokens?,
-- cachedInputTokens?, arguments? (an object), result?, error? {code, message}}. A tool that was refused by a rule of
-- the platform leaves an event too.
create function private.add_answer_step(of_message uuid, of_agent text, of_user uuid, step jsonb) returns boolean
language plpgsql volatile set search_path = '' as $$
declare
  s public.answer_steps;
  j private.reply_jobs;
  most constant integer := private.step_limit('bytes');
  past numeric;
begin
  if private.is_erased(of_user) or jsonb_typeof(step) is distinct from 'object' then
    return false;
  end if;
  -- Two reporters of one answer (the platform and a runtime) take turns.
  perform pg_advisory_xact_lock(hashtextextended('steps ' || of_message, 0));
  s.id := private.step_id(of_message, of_agent, step ->> 'id');
  if exists (select from public.answer_steps x where x.id = s.id) then
    return false;
  end if;
  select coalesce(max(x.index), 0) + 1 into s.index from public.answer_steps x
    where x.message_id = of_message and x.agent_id = of_agent;
  if s.index > private.step_limit('of_answer') then
    return false;
  end if;
  s.message_id := of_message;
  s.agent_id := of_agent;
  s.user_id := of_user;
  s.kind := case when step ->> 'kind' in ('model', 'tool', 'retrieval', 'approval') then step ->> 'kind'
    else 'tool' end;
  s.name := private.step_text(coalesce(nullif(step ->> 'name', ''), s.kind), 200);
  s.status := case when step ->> 'status' in ('ok', 'error', 'refused', 'pending') then step ->> 'status'
    else 'error' end;
  s.milliseconds := least(private.token_count(step, 'milliseconds'), 3600000);
  -- Whoever reports has a clock of its own: never later than now, at most an hour ago.
  past := case when jsonb_typeof(step -> 'startedAt') = 'number'
    then extract(epoch from clock_timestamp()) - (step ->> 'startedAt')::numeric / 1000
    else s.milliseconds / 1000.0 end;
  s.started_at := clock_timestamp() - make_interval(secs => least(3600, greatest(0, past))::double precision);
  if s.kind = 'model' then
    s.input_tokens := private.told_tokens(step, 'inputTokens');
    s.output_tokens := private.told_tokens(step, 'outputTokens');
    s.cached_input_tokens := private.told_tokens(step, 'cachedInputTokens');
  end if;
  s.arguments := case when jsonb_typeof(step -> 'arguments') <> 'object' then null
    when octet_length((step -> 'arguments')::text) <= most then step -> 'arguments'
    else jsonb_build_object('cut', private.step_text((step -> 'arguments')::text, most - 64)) end;
  s.result := private.step_text(step ->> 'result', most);
  if jsonb_typeof(step -> 'error') = 'object' then
    s.error := jsonb_build_object('code',
      private.step_text(coalesce(step -> 'error' ->> 'code', 'INTERNAL_ERROR'), 100),
      'message', private.step_text(coalesce(step -> 'error' ->> 'message', ''), 1000));
  end if;
  insert into public.answer_steps select (s).*;
  select * into j from private.reply_jobs x where x.id = of_message;
  -- As the other events of an answer (private.tell); one at the agent's own address answers no message.
  perform realtime.send(private.step_answer(s) || jsonb_build_object('messageId', s.message_id, 'agentId', s.agent_id,
      'replyTo', j.message_id, 'attempt', coalesce(j.attempts, 1)),
    'reply.step', private.reply_topic(j.swarm_id, of_agent), true);
  if s.kind = 'tool' and s.status = 'refused' then
    perform private.note_refused_tool(s);
  end if;
  return true;
end
$$;
comment on function private.add_answer_step(uuid, text, uuid, jsonb) is
  'Adds one step to an answer, once; false where it was not added.';

-- A step as the channel tells it.
create function private.step_answer(s public.answer_steps) returns jsonb
language sql stable set search_path = ''
return jsonb_strip_nulls(jsonb_build_object('index', s.index, 'kind', s.kind, 'name', s.name, 'status', s.status,
  'startedAt', private.iso(s.started_at), 'milliseconds', s.milliseconds, 'inputTokens', s.input_tokens,
  'outputTokens', s.output_tokens, 'cachedInputTokens', s.cached_input_tokens, 'error', s.error));

-- The event of a tool that was refused: its owner has something to mend. Once in ten minutes per tool and code; a model
-- may try the same again in every answer, and events are for good. Arguments stay in the step, which is not.
create function private.note_refused_tool(s public.answer_steps) returns void
language plpgsql volatile set search_path = '' as $$
begin
  if exists (select from public.agent_events e where e.agent_id = s.agent_id and e.seq > (
        select c.last_seq - 100 from private.agent_event_counters c where c.agent_id = s.agent_id)
      and e.event_type = 'TOOL_REFUSED' and e."timestamp" > now() - interval '10 minutes'
      and e.details ->> 'tool' = s.name and e.details ->> 'code' is not distinct from s.error ->> 'code') then
    return;
  end if;
  perform private.record_event(s.agent_id, s.user_id, 'TOOL_REFUSED', 'system',
    format('The tool %s was refused: %s', s.name, coalesce(s.error ->> 'message', 'it is not allowed')),
    details => jsonb_build_object('tool', s.name, 'code', s.error -> 'code', 'messageId', s.message_id,
      'milliseconds', s.milliseconds));
end
$$;

-- Adds a report's steps, in the order of their beginnings. Returns how many were kept. Where a user has as many as the
-- quota of rows or bytes allows, the oldest go.
create function private.add_answer_steps(of_message uuid, of_agent text, of_user uuid, steps jsonb) returns integer
language plpgsql volatile set search_path = '' as $$
declare
  step jsonb;
  kept integer := 0;
begin
  if jsonb_typeof(steps) is distinct from 'array' or steps = '[]' then
    return 0;
  end if;
  for step in select x from jsonb_array_elements(steps) with ordinality as t (x, place) order by place
      limit private.step_limit('of_answer') loop
    kept := kept + private.add_answer_step(of_message, of_agent, of_user, step)::integer;
  end loop;
  perform private.trim_answer_steps(of_user);
  return kept;
end
$$;
comment on function private.add_answer_steps(uuid, text, uuid, jsonb) is
  'Adds steps to an answer; returns how many were kept.';

-- Adds what an agent's runtime reports of its answers: [{messageId, steps}], in the order of the ids, so that two
-- reports wait for each other in one order. They come along with what calls used, which must not be refused for them:
-- what is of another form or another agent's, and what is above the bound of one answer, is
-- passed over. Returns how many steps were kept.
create function private.add_runtime_steps(of_agent text, answers jsonb) returns integer
language plpgsql volatile set search_path = '' as $$
declare
  owner uuid := (select a.user_id from public.agents a where a.id = of_agent and a.deleted_at is null);
  message uuid;
  steps jsonb;
  kept integer := 0;
begin
  if owner is null or jsonb_typeof(answers) is distinct from 'array' then
    return 0;
  end if;
  for message, steps in
    select x.of_message::uuid, jsonb_agg(x.step order by x.answer_place, x.place) from (
      select lower(a.answer ->> 'messageId') as of_message, s.step, a.place as answer_place, s.place
      from jsonb_array_elements(answers) with ordinality as a (answer, place)
      cross join lateral jsonb_array_elements(case when jsonb_typeof(a.answer -> 'steps') = 'array'
        then a.answer -> 'steps' else '[]' end)
        with ordinality as s (step, place)
      where a.answer ->> 'messageId' ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      limit private.step_limit('of_answer')
    ) x group by x.of_message order by x.of_message
  loop
    continue when exists (select from private.reply_jobs j where j.id = message and j.agent_id <> of_agent)
      or exists (select from public.messages m where m.id = message and m.agent_id is distinct from of_agent);
    kept := kept + private.add_answer_steps(message, of_agent, owner, steps);
  end loop;
  return kept;
end
$$;
comment on function private.add_runtime_steps(text, jsonb) is
  'Adds the steps that an agent''s runtime reports; returns how many were kept.';

-- What a user has beyond the quota goes, oldest first: nobody can delete steps, so that a full
-- quota must not end traces.
create function private.trim_answer_steps(of_user uuid) returns void
language plpgsql volatile set search_path = '' as $$
begin
  if exists (select from private.row_counts c join public.row_quotas q on q.relation = c.relation
      where c.user_id = of_user and c.relation = 'answer_steps' and (c.rows > q.max_rows or c.bytes > q.max_bytes)) then
    delete from public.answer_steps x where x.id in (
      select y.id from public.answer_steps y where y.user_id = of_user order by y.started_at limit 500);
  end if;
end
$$;

-- Definer: a message that is deleted takes its steps along.
create function private.tg_messages__forget_steps() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.answer_steps x where x.message_id in (select r.id from removed r where r.sender_kind = 'agent');
  return null;
end
$$;
create trigger _500_forget_steps after delete on public.messages
  referencing old table as removed for each statement execute function private.tg_messages__forget_steps();

-- Definer: an answer that will never be takes its steps along.
create function private.tg_reply_jobs__forget_steps() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.answer_steps x where x.message_id = old.id;
  return null;
end
$$;
create trigger _510_forget_steps after delete on private.reply_jobs
  for each row when (old.state in ('waiting', 'running')) execute function private.tg_reply_jobs__forget_steps();

revoke execute on all functions in schema private from public;
