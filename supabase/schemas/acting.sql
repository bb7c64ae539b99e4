-- Which attempt at an answer began to act (called a tool or an action that may change something outside). The first
-- that asks may; a later one, at whichever replica or worker, may not: what the first did is not done twice.

-- A table of its own without a foreign key: a lock on the job, however short, would cost its
-- lease (report_reply skips what is locked).
create table private.acting_replies (
  job_id uuid primary key,
  -- The attempt: drawn by the runtime, or the lease of `respond`.
  attempt uuid not null,
  begun_at timestamptz not null default now()
);
alter table private.acting_replies enable row level security;
comment on table private.acting_replies is 'Which attempt at an answer began to act.';

-- Definer: whoever deletes a message has no rights here. By statement, since answers are deleted in batches.
create function private.tg_reply_jobs__forget_acting() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from private.acting_replies x using gone g where x.job_id = g.id;
  return null;
end
$$;
create trigger _510_forget_acting after delete on private.reply_jobs
  referencing old table as gone for each statement execute function private.tg_reply_jobs__forget_acting();

-- Whether an attempt may act: it is the first that asks, and somebody is at work on the
-- answer. Asking again is answered the same.
create function private.may_act(of_job uuid, of_attempt uuid) returns boolean
language plpgsql volatile set search_path = '' as $$
begin
  insert into private.acting_replies (job_id, attempt)
    select j.id, of_attempt from private.reply_jobs j where j.id = of_job and j.state = 'running'
      and of_attempt is not null
    on conflict (job_id) do nothing;
  return exists (select from private.acting_replies x where x.job_id = of_job and x.attempt = of_attempt);
end
$$;

-- Definer: anon, as which runtimes call, has no rights here; the credential authorises first. → {may}
create function private.runtime_acts(of_agent text, credential text, message_id uuid, attempt uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.check_runtime(of_agent, credential);
  return jsonb_build_object('may', exists (
      select from private.reply_jobs j where j.id = runtime_acts.message_id and j.agent_id = of_agent)
    and private.may_act(runtime_acts.message_id, runtime_acts.attempt));
end
$$;

-- Definer: service_role has no rights on private tables. → {may}; false where the lease is lost.
create function private.reply_acts(job_id uuid, token uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  return jsonb_build_object('may', exists (
      select from private.reply_jobs j where j.id = reply_acts.job_id and j.state = 'running' and j.lease_token = token)
    and private.may_act(reply_acts.job_id, token));
end
$$;
grant execute on function private.runtime_acts(text, text, uuid, uuid) to anon;
grant execute on function private.reply_acts(uuid, uuid) to service_role;

create function public.runtime_acts(agent_id text, credential text, message_id uuid, attempt uuid) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.runtime_acts(agent_id, credential, message_id, attempt); end $$;
create function public.reply_acts(job_id uuid, lease_token uuid) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.reply_acts(job_id, lease_token); end $$;
revoke execute on function public.runtime_acts(text, text, uuid, uuid) from public, authenticated, service_role;
grant execute on function public.runtime_acts(text, text, uuid, uuid) to anon;
revoke execute on function public.reply_acts(uuid, uuid) from public, anon, authenticated;
grant execute on function public.reply_acts(uuid, uuid) to service_role;
comment on function public.runtime_acts(text, text, uuid, uuid) is 'Runtime: whether an attempt at an answer may act.';
comment on function public.reply_acts(uuid, uuid) is 'Answering: whether this attempt may act.';

revoke execute on all functions in schema private from public;
