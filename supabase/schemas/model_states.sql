-- Whether an agent's model answers: its provider's last lasting refusal, in the provider's words, until a call
-- succeeds. Told by the condition ModelReady and the events MODEL_REFUSED and MODEL_ANSWERS. The settlement of each
-- call brings it (private.settle), whichever way the agent runs and whoever asked.

create table private.model_states (
  agent_id text primary key references public.agents (id) on delete cascade,
  -- The refusal; null: the model answers again.
  code text,
  message text not null,
  changed_at timestamptz not null default now(),
  -- When an event last told of a refusal.
  event_at timestamptz,
  constraint model_states_code_known
    check (code in ('MODEL_AUTHENTICATION_FAILED', 'MODEL_NOT_FOUND', 'MODEL_QUOTA_EXHAUSTED',
    'MODEL_REQUEST_REJECTED', 'MODEL_UNCONFIGURED'))
);
alter table private.model_states enable row level security;
comment on table private.model_states is 'The last lasting refusal of each agent''s model.';

-- Notes what became of a settled call. A refusal is an event when it begins or changes its code, at most every ten
-- minutes for one agent: callers of an address cannot fill the log by turns. Called with lock_spending held; the
-- event's counter comes after.
create function private.note_model(r private.reservations, item jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  refusal text := item -> 'refused' ->> 'code';
  words text := left(coalesce(item -> 'refused' ->> 'message', ''), 600);
  known private.model_states;
begin
  if item ? 'refused' and refusal in ('MODEL_AUTHENTICATION_FAILED', 'MODEL_NOT_FOUND', 'MODEL_QUOTA_EXHAUSTED',
      'MODEL_REQUEST_REJECTED', 'MODEL_UNCONFIGURED') then
    select * into known from private.model_states s where s.agent_id = r.agent_id for update;
    insert into private.model_states as s (agent_id, code, message)
      select a.id, refusal, words from public.agents a where a.id = r.agent_id
      on conflict (agent_id) do update set code = refusal, message = words,
        changed_at = case when s.code is distinct from refusal then now() else s.changed_at end;
    if found and known.code is distinct from refusal
      and coalesce(known.event_at < now() - interval '10 minutes', true) then
      update private.model_states s set event_at = now() where s.agent_id = r.agent_id;
      perform private.record_event(r.agent_id, r.user_id, 'MODEL_REFUSED', 'system', words,
        details => jsonb_build_object('code', refusal, 'model', r.model));
    end if;
  elsif not item ? 'refused' and not coalesce((item ->> 'unused')::boolean, false) then
    select * into known from private.model_states s where s.agent_id = r.agent_id and s.code is not null for update;
    if found then
      update private.model_states s set code = null, message = 'The model answers again', changed_at = now()
        where s.agent_id = r.agent_id;
      if known.event_at >= known.changed_at then
        perform private.record_event(r.agent_id, r.user_id, 'MODEL_ANSWERS', 'system', 'The model answers again',
          details => jsonb_build_object('model', r.model));
      end if;
    end if;
  end if;
end
$$;
comment on function private.note_model(private.reservations, jsonb) is 'Notes whether an agent''s model answers.';

-- Settings that had no effect, out of a report: a short list of {field, message}.
create function private.setting_warnings(said jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return case when jsonb_typeof(said) is distinct from 'array' then '[]' else (
    select coalesce(jsonb_agg(jsonb_build_object('field', left(w.value ->> 'field', 100),
      'message', left(w.value ->> 'message', 400)) order by w.n), '[]')
    from jsonb_array_elements(said) with ordinality w (value, n)
    where w.n <= 10 and jsonb_typeof(w.value -> 'field') = 'string' and jsonb_typeof(w.value -> 'message') =
      'string') end;
end
$$;
comment on function private.setting_warnings(jsonb) is 'Settings that had no effect, out of a report.';

-- The condition ModelReady of an agent, as an array for its status: refused, retired, or
-- settings that its model does not take;
-- empty where there is nothing to say. The worst comes first, and there is one at most.
create function private.model_conditions(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  s private.model_states;
  m public.models;
  ignored text;
  ready boolean := true;
  reason text;
  message text;
begin
  select * into s from private.model_states x where x.agent_id = a.id;
  select * into m from public.models x where x.framework = a.framework and x.name = a.model;
  if s.code is not null then
    ready := false; reason := s.code; message := s.message;
  elsif m.retires_at <= current_date then
    ready := false; reason := 'MODEL_RETIRED'; message := private.model_notice(a.framework, a.model);
  else
    select string_agg(p.value, '; ' order by p.key) into ignored
      from jsonb_each_text(private.model_setting_problems(a.framework, a.model, a.settings)) p;
    if ignored is not null then
      reason := 'SETTING_IGNORED'; message := left(ignored, 600);
    elsif m.retires_at is not null then
      reason := 'MODEL_RETIRING'; message := private.model_notice(a.framework, a.model);
    -- News for an hour, then as if it had never been otherwise.
    elsif s.changed_at > now() - interval '1 hour' then
      reason := 'MODEL_ANSWERS'; message := s.message;
    else
      return '[]';
    end if;
  end if;
  return jsonb_build_array(jsonb_build_object('type', 'ModelReady', 'status',
    case when ready then 'True' else 'False' end,
    'reason', reason, 'message', message));
end
$$;
comment on function private.model_conditions(public.agents) is 'The condition ModelReady of an agent.';
