-- Answering, the worker's end: text on the way, the answer, failures, the sweep; the RPCs of it all.

-- Definer: service_role has no rights on private tables. Renews the lease; broadcasts new text and keeps steps, if any.
create function private.report_reply(job_id uuid, token uuid, new_text text, part integer,
  lease_seconds integer, steps jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs;
begin
  perform private.check_worker('reply', lease_seconds);
  -- Its agent before the job, as who deletes the agent takes them: else each would wait for the other.
  if coalesce(new_text, '') <> '' then
    perform private.lock_agents(array(select x.agent_id from private.reply_jobs x where x.id = job_id
      and x.responding_at is null));
  end if;
  select * into j from private.reply_jobs x where x.id = job_id and x.state = 'running' and x.lease_token = token
    for update skip locked;
  if not found then
    return '{"accepted": false}';
  end if;
  update private.reply_jobs x set lease_expires_at = now() + make_interval(secs => lease_seconds),
      responding_at = case when coalesce(new_text, '') = '' then x.responding_at
        else coalesce(x.responding_at, now()) end
    where x.id = job_id;
  if coalesce(new_text, '') <> '' then
    perform private.tell(j, 'reply.delta', jsonb_build_object('sequence', part, 'text', left(new_text, 100000)));
    if j.responding_at is null then
      perform private.show_activity(j.agent_id);
    end if;
  end if;
  perform private.add_answer_steps(j.id, j.agent_id, j.user_id, steps);
  return '{"accepted": true}';
end
$$;

-- The job of this lease, locked after the message it answers and its agent (who deletes a message takes them in that
-- order too); null when the lease is lost. A job that someone else has locked is being claimed
-- anew: its lease was over.
create function private.own_reply(job_id uuid, token uuid) returns private.reply_jobs
language plpgsql volatile set search_path = '' as $$
declare
  j private.reply_jobs;
begin
  perform from public.messages m where m.id = (select x.message_id from private.reply_jobs x where x.id = job_id)
    for key share;
  perform private.lock_agents(array(select x.agent_id from private.reply_jobs x where x.id = job_id));
  select * into j from private.reply_jobs x where x.id = job_id and x.lease_token = token for update skip locked;
  return j;
end
$$;

-- The calls that an attempt made: `settled` where the report has it, else its own figures for the call that the claim
-- reserved. What an agent's runtime used it settles itself; here only the least that it may count is told.
create function private.settle_reply(j private.reply_jobs, report jsonb) returns void
language plpgsql volatile set search_path = '' as $$
begin
  if not report ? 'settled' then
    report := report || jsonb_build_object('settled', (
      select coalesce(jsonb_agg(report || jsonb_build_object('id', r.id)), '[]') from private.reservations r
      where r.job_id = j.id and r.closed_at is null and report ?| array['inputTokens', 'outputTokens']));
  end if;
  perform private.settle(j.agent_id, report -> 'settled');
  -- An agent's runtime made it, or nobody knows. Few texts have more than eight bytes a token.
  if report -> 'settled' = '[]' then
    perform private.bound_job(j.user_id, j.id, coalesce((
        select octet_length(m.content) / 8 from public.messages m where m.id = j.message_id and report ? 'content'), 0),
      coalesce(octet_length(report ->> 'content') / 8, 0));
  end if;
end
$$;

-- Definer: as above. Stores the answer, once: a repeated report of the same lease changes nothing.
-- answer: {content, silence?: why content is empty, model, inputTokens?, outputTokens?, warnings?: [{field, message}],
-- settled?: as private.settle takes it, steps?}.
create function private.finish_reply(job_id uuid, token uuid, answer jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs := private.own_reply(job_id, token);
  tokens_in bigint := private.told_tokens(answer, 'inputTokens');
  tokens_out bigint := private.told_tokens(answer, 'outputTokens');
begin
  if j.id is null or j.state = 'waiting' or j.state = 'failed' then
    return '{"accepted": false}';
  elsif j.state = 'done' then
    return jsonb_build_object('accepted', true, 'messageId', j.id);
  end if;
  update private.reply_jobs x set state = 'done', lease_expires_at = null, last_error = null, updated_at = now()
    where x.id = j.id;
  insert into public.messages (id, user_id, swarm_id, conversation_id, agent_id, sender_kind, sender_name,
    content, status,
      reply_to, root_id, turn, model, warnings, silence, input_tokens, output_tokens, sources)
    select j.id, j.user_id, j.swarm_id, m.conversation_id, j.agent_id, 'agent', a.name,
      left(coalesce(answer ->> 'content', ''), 200000), 'complete', m.id, j.root_id, j.turn,
        left(answer ->> 'model', 200),
      private.setting_warnings(answer -> 'warnings'),
      case when coalesce(answer ->> 'content', '') = '' then left(answer ->> 'silence', 500) end,
      tokens_in, tokens_out, j.sources
    from public.messages m, public.agents a where m.id = j.message_id and a.id = j.agent_id;
  perform private.settle_reply(j, answer);
  perform private.add_answer_steps(j.id, j.agent_id, j.user_id, answer -> 'steps');
  perform private.add_usage(private.usage_of(r, 1, 0, 0, 0, 0))
    from private.reservations r where r.job_id = j.id order by r.closed_at desc nulls first limit 1;
  perform private.show_activity(j.agent_id);
  perform private.tell(j, 'reply.finished');
  return jsonb_build_object('accepted', true, 'messageId', j.id);
end
$$;
comment on function private.finish_reply(uuid, uuid, jsonb) is 'Stores an answer once, fenced by its lease.';

-- Definer: as above. failure: {code, message, retryable, retryAfterSeconds, inputTokens,
-- outputTokens, settled?, steps?}.
create function private.fail_reply(job_id uuid, token uuid, failure jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs := private.own_reply(job_id, token);
  wait interval;
begin
  if j.id is null or j.state <> 'running' then
    return '{"accepted": false}';
  end if;
  perform private.settle_reply(j, failure);
  perform private.add_answer_steps(j.id, j.agent_id, j.user_id, failure -> 'steps');
  if not coalesce((failure ->> 'retryable')::boolean, false) or j.attempts >= private.answering_limit('attempts') then
    perform private.conclude_failure(j, failure);
    return '{"accepted": true, "final": true}';
  end if;
  wait := greatest(private.reply_backoff(j.attempts),
    make_interval(secs => least(600, greatest(0, coalesce((failure ->> 'retryAfterSeconds')::numeric, 0)))));
  update private.reply_jobs x set state = 'waiting', lease_expires_at = null, next_attempt_at = now() + wait,
      last_error = left(coalesce(failure ->> 'code', '') || ': ' || coalesce(failure ->> 'message', ''), 600),
        updated_at = now()
    where x.id = j.id;
  perform private.show_activity(j.agent_id);
  perform private.tell(j, 'reply.retried', jsonb_build_object('code', left(failure ->> 'code', 100)));
  return jsonb_build_object('accepted', true, 'final', false, 'retryInSeconds', extract(epoch from wait));
end
$$;

-- Earlier messages of a conversation (or swarm) of this user that hold the words of `query`, newest first. Looks at the
-- newest 500 of them, at 8,000 characters of each: the call is the service's, and a long
-- conversation must not hold up its other calls.
create function private.search_messages(of_user uuid, conversation uuid, without uuid, until timestamptz,
  query text, most integer)
returns jsonb
language sql stable set search_path = ''
return (
  select coalesce(jsonb_agg(jsonb_build_object('from', coalesce(c.sender_name, c.sender_kind),
    'at', private.iso(c.created_at),
    'text', left(c.content, 1000)) order by c.created_at desc), '[]')
  from (
    select m.sender_name, m.sender_kind, m.created_at, m.content from (
      select x.sender_name, x.sender_kind, x.created_at, left(x.content, 8000) as content from public.messages x
      where x.user_id = of_user and x.status <> 'error' and x.id is distinct from without
        and (x.swarm_id = conversation or x.conversation_id = conversation)
        and x.created_at <= until
      order by x.created_at desc limit 500) m
    where position(lower(left(query, 200)) in lower(m.content)) > 0
      or to_tsvector('simple', m.content) @@ websearch_to_tsquery('simple', left(query, 200))
    order by m.created_at desc limit least(20, greatest(1, coalesce(most, 5)))
  ) c);

-- Definer: as above. The lease authorises: earlier messages of the conversation that is being answered.
create function private.search_conversation(job_id uuid, token uuid, query text, most integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  j private.reply_jobs;
  question public.messages;
begin
  select * into j from private.reply_jobs x where x.id = job_id and x.state = 'running' and x.lease_token = token;
  if not found then
    perform private.raise_error('CONFLICT', 'No lease on this answer');
  end if;
  select * into question from public.messages m where m.id = j.message_id;
  return private.search_messages(j.user_id, coalesce(question.swarm_id, question.conversation_id), question.id,
    question.created_at, query, most);
end
$$;

-- What no worker holds any more is taken back, what waits is hinted at again, and no agent
-- keeps an activity it has not.
create function private.sweep_replies() returns void
language plpgsql volatile set search_path = '' as $$
declare
  lost uuid[];
  j private.reply_jobs;
begin
  select coalesce(array_agg(x.id), '{}') into lost from (
    select y.id from private.reply_jobs y where y.state = 'running' and y.lease_expires_at < now()
      for update skip locked) x;
  perform private.lock_agents(array(select y.agent_id from private.reply_jobs y where y.id = any (lost)));
  perform private.lock_spending(array(select y.user_id from private.reply_jobs y where y.id = any (lost)));
  for j in select * from private.reply_jobs y where y.id = any (lost) loop
    perform private.expire_reservations(j.user_id, j.id);
    if j.attempts >= private.answering_limit('attempts') then
      perform private.conclude_failure(j, '{"code": "INTERNAL_ERROR", "message": "The answer broke off too often."}');
    else
      update private.reply_jobs y set state = 'waiting', next_attempt_at = now(), lease_expires_at = null,
        last_error = 'The worker was lost', updated_at = now() where y.id = j.id;
      perform private.show_activity(j.agent_id);
    end if;
  end loop;
  -- Belt and braces: an activity that answering wrote, with nothing at work behind it.
  perform private.show_activity(a.id) from (
    select b.id from public.agents b
    where b.status in ('thinking', 'responding') and b.updated_at < now() - interval '30 seconds'
      and exists (select from private.reply_jobs y where y.agent_id = b.id
        and y.updated_at >= b.updated_at - interval '1 minute')
      and not exists (select from private.reply_jobs y where y.agent_id = b.id and y.state = 'running')
    order by b.id for no key update skip locked) a;
  if exists (select from private.reply_jobs y where y.state = 'waiting' and y.next_attempt_at <= now()) then
    perform private.post_to_respond('{"reason": "sweep"}');
  end if;
end
$$;

-- Settled jobs are kept for a week, as a trace.
create function private.delete_settled_replies(batch integer default 5000) returns void
language sql volatile set search_path = '' as $$
  delete from private.reply_jobs j where j.id in (
    select x.id from private.reply_jobs x where x.state in ('done', 'failed')
      and x.updated_at < now() - interval '7 days' limit batch)
$$;

select cron.schedule('launchpad-replies', '10 seconds', 'select private.sweep_replies()');
select cron.schedule('launchpad-reply-retention', '23 * * * *', 'select private.delete_settled_replies()');

create function public.claim_replies(worker text, max_count integer default 20, lease_seconds integer default 15)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.claim_replies(worker, max_count, lease_seconds); end $$;
create function public.report_reply(job_id uuid, lease_token uuid, "text" text default '', sequence integer default 0,
  lease_seconds integer default 15,
  steps jsonb default '[]')
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.report_reply(job_id, lease_token, "text", sequence, lease_seconds, steps); end $$;
create function public.finish_reply(job_id uuid, lease_token uuid, answer jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.finish_reply(job_id, lease_token, answer); end $$;
create function public.fail_reply(job_id uuid, lease_token uuid, failure jsonb)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.fail_reply(job_id, lease_token, failure); end $$;
create function public.search_conversation(job_id uuid, lease_token uuid, query text, "limit" integer default 5)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.search_conversation(job_id, lease_token, query, "limit"); end $$;

revoke execute on all functions in schema private from public;
grant execute on function private.claim_replies(text, integer, integer), private.report_reply(uuid, uuid, text, integer,
  integer, jsonb),
  private.finish_reply(uuid, uuid, jsonb), private.fail_reply(uuid, uuid, jsonb),
  private.search_conversation(uuid, uuid, text, integer) to service_role;
revoke execute on function public.claim_replies(text, integer, integer),
  public.report_reply(uuid, uuid, text, integer, integer, jsonb),
  public.finish_reply(uuid, uuid, jsonb), public.fail_reply(uuid, uuid, jsonb),
  public.search_conversation(uuid, uuid, text, integer) from public, anon, authenticated;
grant execute on function public.claim_replies(text, integer, integer),
  public.report_reply(uuid, uuid, text, integer, integer, jsonb),
  public.finish_reply(uuid, uuid, jsonb), public.fail_reply(uuid, uuid, jsonb),
  public.search_conversation(uuid, uuid, text, integer) to service_role;
comment on function public.claim_replies(text, integer, integer) is 'Answering: leases answers with all they need.';
comment on function public.report_reply(uuid, uuid, text, integer, integer, jsonb) is
  'Answering: renews a lease and broadcasts new text.';
comment on function public.finish_reply(uuid, uuid, jsonb) is 'Answering: stores an answer, once.';
comment on function public.fail_reply(uuid, uuid, jsonb) is 'Answering: an attempt failed; tried again or ended.';
comment on function public.search_conversation(uuid, uuid, text, integer) is
  'Answering: earlier messages of the conversation being answered.';
