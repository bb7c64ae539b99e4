-- Metering: every call of a model is reserved before it is made and settled after. What is reserved counts against
-- token caps and budgets as if it were spent, so that no number of callers at once passes a limit.

-- Spend caps, in tokens a day (UTC), input and output together.
alter table public.quotas add column max_tokens_per_day bigint not null default 1000000,
  add constraint quotas_tokens_not_negative check (max_tokens_per_day >= 0);

-- Through which door a call came.
create function private.usage_sources() returns text[]
language sql immutable parallel safe set search_path = ''
return array['message', 'address', 'schedule', 'trigger', 'completions', 'a2a', 'mcp'];

-- No foreign key to agents: what was spent stays counted when an agent is deleted. Written by private.add_usage alone.
create table public.usage_daily (
  user_id uuid not null references auth.users (id) on delete cascade,
  day date not null,
  agent_id text not null,
  model text not null default '',
  source text not null default 'message',
  answers integer not null default 0,
  input_tokens bigint not null default 0,
  -- Those of the input that the provider read from its cache.
  cached_input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  -- Millionths of a US dollar, by the prices at the time of each call; a model without a price costs nothing.
  cost_micros bigint not null default 0,
  constraint usage_daily_pkey primary key (user_id, day, agent_id, model, source),
  constraint usage_daily_source_known check (source = any (private.usage_sources()))
);
alter table public.usage_daily enable row level security;
grant select on public.usage_daily to authenticated, service_role;
create policy "owners can read their usage" on public.usage_daily for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.usage_daily is 'Answers, tokens and cost by day (UTC), agent, model and source.';

create function private.add_usage(added public.usage_daily) returns void
language sql volatile set search_path = '' as $$
  insert into public.usage_daily as u select (added).*
  where added.answers + added.input_tokens + added.output_tokens > 0
  on conflict on constraint usage_daily_pkey do update set answers = u.answers + excluded.answers,
    input_tokens = u.input_tokens + excluded.input_tokens,
    cached_input_tokens = u.cached_input_tokens + excluded.cached_input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, cost_micros = u.cost_micros + excluded.cost_micros
$$;

-- Money budgets. A user has at most one for themselves, and one per agent, in each period.
create table public.budgets (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id text references public.agents (id) on delete cascade,
  scope text generated always as (case when agent_id is null then 'user' else 'agent' end) stored,
  period text not null,
  limit_micros bigint not null,
  warn_at numeric not null default 0.8,
  action text not null default 'pause',
  -- The period for which the event was written: each comes once. Written by private.note_budgets.
  warned_for date,
  reached_for date,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint budgets_user_id_agent_id_period_key unique nulls not distinct (user_id, agent_id, period),
  constraint budgets_period_known check (period in ('day', 'month')),
  constraint budgets_action_known check (action in ('pause', 'notify')),
  constraint budgets_limit_bounds check (limit_micros between 0 and 1000000000000000),
  constraint budgets_warn_at_bounds check (warn_at > 0 and warn_at <= 1)
);
alter table public.budgets enable row level security;
create index budgets_agent_id_idx on public.budgets (agent_id);
grant select on public.budgets to authenticated, service_role;
create policy "owners can read their budgets" on public.budgets for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.budgets is 'What a user or one agent may cost in a day or month (UTC), in micro-dollars.';

-- The first day of the present period (UTC), and the moment the next one begins.
create function private.period_start(period text) returns date
language sql stable set search_path = ''
return date_trunc(period, now() at time zone 'UTC')::date;

create function private.period_end(period text) returns timestamptz
language sql stable set search_path = ''
return (date_trunc(period, now() at time zone 'UTC') + ('1 ' || period)::interval) at time zone 'UTC';

-- Calls that are under way or were, each counted once: open (closed_at null), settled with what was used, or expired
-- and counted in full. Kept for a day after closing, so that a repeated settle finds what it was told.
create table private.reservations (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id text not null,
  -- The answer of the outbox that this belongs to.
  job_id uuid,
  source text not null,
  model text not null,
  -- The day (UTC) it counts to, whenever it is settled.
  day date not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cost_micros bigint not null,
  input_price bigint not null default 0,
  output_price bigint not null default 0,
  cached_price bigint not null default 0,
  -- The least that a settle may count: from text that the platform has seen.
  floor_input bigint not null default 0,
  floor_output bigint not null default 0,
  lease_expires_at timestamptz not null,
  closed_at timestamptz,
  outcome text,
  counted_input bigint,
  counted_output bigint,
  constraint reservations_outcome_known check (outcome in ('settled', 'unused', 'expired')),
  constraint reservations_closed_has_outcome check ((closed_at is null) = (outcome is null))
);
alter table private.reservations enable row level security;
comment on table private.reservations is 'Calls of models that were reserved, and what became of each.';
create index reservations_open_idx on private.reservations (user_id, closed_at);
create index reservations_lease_idx on private.reservations (lease_expires_at) where closed_at is null;
create index reservations_job_id_idx on private.reservations (job_id) where job_id is not null;
create index reservations_closed_at_idx on private.reservations (closed_at) where closed_at is not null;

-- What tokens cost, rounded up.
create function private.call_cost(r private.reservations, input bigint, cached bigint, output bigint) returns bigint
language sql immutable set search_path = ''
return ceil(((input - cached)::numeric * r.input_price + cached::numeric * r.cached_price
  + output::numeric * r.output_price) / 1000000)::bigint;

-- Takes the right to reserve and settle for these users until commit, in one order, so that nobody waits in a circle.
-- Whoever also locks agents or jobs does that before; event counters come after. Each statement that follows must see
-- what others committed meanwhile: another isolation level would not.
create function private.lock_spending(users uuid[]) returns void
language plpgsql volatile set search_path = '' as $$
declare
  key bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform private.raise_error('INTERNAL_ERROR', format('lock_spending needs read committed, not %s',
      current_setting('transaction_isolation')));
  end if;
  for key in select distinct hashtextextended('spending ' || u, 0) from unnest(users) u order by 1 loop
    perform pg_advisory_xact_lock(key);
  end loop;
end
$$;

-- What a budget's period has cost, and what is reserved beside it.
create function private.budget_use(b public.budgets, out spent bigint, out reserved bigint)
language plpgsql stable set search_path = '' as $$
declare
  starts date := private.period_start(b.period);
begin
  select coalesce(sum(u.cost_micros), 0) into spent from public.usage_daily u
    where u.user_id = b.user_id and u.day >= starts and (b.agent_id is null or u.agent_id = b.agent_id);
  select coalesce(sum(r.cost_micros), 0) into reserved from private.reservations r
    where r.user_id = b.user_id and r.closed_at is null and r.day >= starts
      and (b.agent_id is null or r.agent_id = b.agent_id);
end
$$;

-- Writes BUDGET_WARNING and BUDGET_REACHED, each once in a period, to the log of the agent whose call it was.
-- `refused`: the budget that refused a call is reached even if a part is left. The caller holds lock_spending.
create function private.note_budgets(of_user uuid, of_agent text, refused uuid default null) returns void
language plpgsql volatile set search_path = '' as $$
declare
  b public.budgets;
  starts date;
  spent bigint;
  level text;
begin
  for b in select * from public.budgets x where x.user_id = of_user and (x.agent_id is null or x.agent_id = of_agent)
    order by x.id loop
    starts := private.period_start(b.period);
    continue when b.reached_for = starts;
    spent := (private.budget_use(b)).spent;
    level := case when b.id = refused or spent >= b.limit_micros then 'REACHED'
      when spent >= b.warn_at * b.limit_micros and b.warned_for is distinct from starts then 'WARNING' end;
    continue when level is null;
    update public.budgets x set warned_for = starts,
      reached_for = case when level = 'REACHED' then starts else x.reached_for end
      where x.id = b.id;
    perform private.record_event(of_agent, of_user, 'BUDGET_' || level,
      'system', format('%s of the %s budget of $%s %s',
        case when level = 'REACHED' then 'All'
          else round(100 * spent::numeric / greatest(b.limit_micros, 1)) || ' %' end,
        case b.period when 'day' then 'daily' else 'monthly' end, round(b.limit_micros / 1000000.0, 2),
        case when level = 'REACHED' and b.action = 'pause'
          then 'is used up; answers wait until it is raised or the period ends'
          else 'is used' end),
      details => jsonb_build_object('budgetId', b.id, 'scope', b.scope, 'period', b.period,
        'limitMicros', b.limit_micros,
        'spentMicros', spent, 'action', b.action, 'resetsAt', private.iso(private.period_end(b.period))));
  end loop;
end
$$;

-- What a call adds to its day. By names: an upgraded table may have its columns in another order.
create function private.usage_of(r private.reservations, answers integer, input bigint, cached bigint,
  output bigint, cost bigint)
returns public.usage_daily language plpgsql immutable set search_path = '' as $$
declare u public.usage_daily;
begin
  u.user_id := r.user_id;
  u.day := r.day;
  u.agent_id := r.agent_id;
  u.model := r.model;
  u.source := r.source;
  u.answers := answers;
  u.input_tokens := input;
  u.cached_input_tokens := cached;
  u.output_tokens := output;
  u.cost_micros := cost;
  return u;
end
$$;

-- Closes a reservation and counts what it came to. The caller holds lock_spending of its user.
create function private.close_reservation(r private.reservations, how text, input bigint, cached bigint, output bigint,
  answers integer default 0) returns void
language plpgsql volatile set search_path = '' as $$
declare
  new_input bigint := greatest(input, r.floor_input);
  new_output bigint := greatest(output, r.floor_output);
  new_cached bigint := least(cached, new_input);
begin
  update private.reservations x set closed_at = now(), outcome = how, counted_input = new_input,
    counted_output = new_output where x.id = r.id;
  perform private.add_usage(private.usage_of(r, answers, new_input, new_cached, new_output,
    private.call_cost(r, new_input, new_cached, new_output)));
  perform private.note_budgets(r.user_id, r.agent_id);
end
$$;

-- A reservation whose lease is over, or whose answer's worker is gone, counts in full: what cannot be known is counted.
-- The caller holds lock_spending.
create function private.expire_reservations(of_user uuid, of_job uuid default null) returns void
language plpgsql volatile set search_path = '' as $$
declare
  r private.reservations;
begin
  for r in select * from private.reservations x where x.user_id = of_user and x.closed_at is null
      and (x.lease_expires_at < now() or x.job_id = of_job) order by x.agent_id, x.id loop
    perform private.close_reservation(r, 'expired', r.input_tokens, 0, r.output_tokens);
  end loop;
end
$$;

-- Called by pg_cron: leases that ended where nobody reserves any more, and closed rows that no settle will ask for.
create function private.sweep_reservations() returns void
language plpgsql volatile set search_path = '' as $$
declare
  users uuid[] := array(select distinct x.user_id from private.reservations x where x.closed_at is null
    and x.lease_expires_at < now());
  of_user uuid;
begin
  perform private.lock_spending(users);
  foreach of_user in array users loop
    perform private.expire_reservations(of_user);
  end loop;
  delete from private.reservations x where x.id in (
    select y.id from private.reservations y where y.closed_at < now() - interval '1 day' limit 10000);
end
$$;
select cron.schedule('launchpad-reservations', '10 seconds', 'select private.sweep_reservations()');

-- A refusal of private.reserve: code and sentence for the caller, when to come again, and whether calls under way stand
-- in the way alone ({wait}).
create function private.reserve_refusal(code text, message text, resumes_at timestamptz,
  details jsonb default '{}') returns jsonb
language sql stable set search_path = ''
return (select jsonb_build_object('code', code, 'message', message, 'retryAfterSeconds', s.seconds,
    'details', details || jsonb_build_object('resumesAt', private.iso(resumes_at), 'retryAfterSeconds', s.seconds))
  from (select ceil(greatest(1, extract(epoch from resumes_at - now())))::bigint as seconds) s);

-- What private.reserve grants, with the facts of the model that the call must heed: who makes it knows no catalogue,
-- and a change of the catalogue counts from the next call.
create function private.reservation_answer(r private.reservations, of_framework text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_strip_nulls(jsonb_build_object('id', r.id, 'inputTokens', r.input_tokens,
    'outputTokens', r.output_tokens,
    'facts', private.model_facts(of_framework, r.model)));
end
$$;

-- Reserves one call of a model: `input` tokens (an upper bound) and at most `output`, of which less may be granted
-- where a limit leaves less. → {id, inputTokens, outputTokens, facts?}, or a refusal {code, message, details,
-- retryAfterSeconds, wait?}: it is returned, not raised, so that what was noted on the way (expired leases, events)
-- stays. The same id again is the same reservation. A spare (made before it is needed) is granted only where half of
-- each limit stays free after it.
-- Codes: AGENT_NOT_FOUND, CONFLICT, RESOURCE_LIMIT_EXCEEDED, BUDGET_EXHAUSTED,
-- MODEL_PRICE_MISSING. Takes lock_spending.
create function private.reserve(wanted uuid, of_agent text, of_source text, named_model text, input bigint,
  output bigint,
  lease_seconds integer, of_job uuid default null, spare boolean default false) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  a public.agents;
  r private.reservations;
  own public.model_prices;
  named public.model_prices;
  b public.budgets;
  least_output constant bigint := least(output, 256);
  cap bigint;
  used bigint;
  reserved bigint;
  part bigint;
  granted bigint := output;
  must_wait boolean := false;
  refusal jsonb;
  of_budget uuid;
  is_agent_cap boolean;
begin
  select * into a from public.agents x where x.id = of_agent and x.deleted_at is null;
  if not found then
    return private.reserve_refusal('AGENT_NOT_FOUND', 'This agent does not exist', now());
  end if;
  perform private.lock_spending(array[a.user_id]);
  select * into r from private.reservations x where x.id = wanted;
  if found then
    return case when r.agent_id = of_agent and r.closed_at is null
      then private.reservation_answer(r, a.framework)
      else private.reserve_refusal('CONFLICT', 'This reservation is closed', now()) end;
  end if;
  perform private.expire_reservations(a.user_id);

  r.id := wanted;
  r.user_id := a.user_id;
  r.agent_id := of_agent;
  r.job_id := of_job;
  r.source := of_source;
  r.day := (now() at time zone 'UTC')::date;
  a.model := coalesce(a.model, (select f.default_model from public.frameworks f where f.name = a.framework));
  r.model := coalesce(named_model, a.model);
  -- The dearer of the agent's own price and that of the model it says it calls: naming a cheap one saves nothing.
  own := private.model_price(a.framework, a.model);
  if r.model <> a.model then
    named := private.model_price(a.framework, r.model);
  end if;
  r.input_price := greatest(own.input_micros_per_million, named.input_micros_per_million);
  r.output_price := greatest(own.output_micros_per_million, named.output_micros_per_million);
  r.cached_price := greatest(own.cached_input_micros_per_million, named.cached_input_micros_per_million);
  if own.model is null then
    r.input_price := null;
  end if;

  -- Token caps: the user's, then the agent's own.
  foreach is_agent_cap in array array[false, true] loop
    cap := case when is_agent_cap then a.max_tokens_per_day
      else (select q.max_tokens_per_day from public.quotas q where q.user_id = a.user_id) end;
    continue when cap is null;
    select coalesce(sum(u.input_tokens + u.output_tokens), 0) into used from public.usage_daily u
      where u.user_id = a.user_id and u.day = r.day and (not is_agent_cap or u.agent_id = of_agent);
    select coalesce(sum(x.input_tokens + x.output_tokens), 0) into reserved from private.reservations x
      where x.user_id = a.user_id and x.closed_at is null and x.day = r.day
        and (not is_agent_cap or x.agent_id = of_agent);
    part := cap - used - reserved - input;
    if spare and part - output < cap / 2 then
      return private.reserve_refusal('RESOURCE_LIMIT_EXCEEDED', 'No spare near a limit', now());
    elsif part >= output then
      continue;
    elsif cap - used - input < least_output then
      refusal := private.reserve_refusal('RESOURCE_LIMIT_EXCEEDED', case
          when is_agent_cap and used >= cap then format('This agent''s daily limit of %s tokens is used up', cap)
          when used >= cap then format('The daily limit of %s tokens is used up', cap)
          else format('This call may need %s tokens; the %s of %s leaves %s today', input + least_output,
            case when is_agent_cap then 'agent''s daily limit' else 'daily limit' end, cap, cap - used) end,
        private.period_end('day'), jsonb_build_object('limit', cap, 'used', used));
      exit;
    elsif reserved > 0 then
      must_wait := true;
    else
      granted := least(granted, part);
    end if;
  end loop;

  -- Budgets that pause. Those that only notify never stand in the way.
  if refusal is null then
    for b in select * from public.budgets x where x.user_id = a.user_id
      and (x.agent_id is null or x.agent_id = of_agent)
        and x.action = 'pause' order by x.id loop
      if r.input_price is null then
        refusal := private.reserve_refusal('MODEL_PRICE_MISSING',
          private.price_missing(a.framework, a.model) || ', or delete the budget',
          now() + interval '1 hour', jsonb_build_object('model', a.model,
            'statement', private.price_statement(a.framework, a.model)));
        exit;
      end if;
      cap := b.limit_micros;
      select x.spent, x.reserved into used, reserved from private.budget_use(b) x;
      if spare and cap - used - reserved - private.call_cost(r, input, 0, output) < cap / 2 then
        return private.reserve_refusal('BUDGET_EXHAUSTED', 'No spare near a limit', now());
      elsif cap - used - reserved >= private.call_cost(r, input, 0, granted) then
        continue;
      elsif cap - used < private.call_cost(r, input, 0, least_output) then
        of_budget := b.id;
        refusal := private.reserve_refusal('BUDGET_EXHAUSTED', format('The %s budget of $%s%s is used up',
            case b.period when 'day' then 'daily' else 'monthly' end, round(cap / 1000000.0, 2),
            case when b.agent_id is null then '' else ' of this agent' end),
          private.period_end(b.period), jsonb_build_object('budgetId', b.id, 'limitMicros', cap, 'spentMicros', used,
            'reservedMicros', reserved, 'neededMicros', private.call_cost(r, input, 0, least_output)));
        exit;
      elsif reserved > 0 then
        must_wait := true;
      else
        -- One less for the rounding up.
        granted := least(granted, floor(((cap - used)::numeric * 1000000 - input::numeric * r.input_price) / nullif(
          r.output_price, 0))::bigint);
      end if;
    end loop;
  end if;

  if refusal is not null then
    perform private.note_budgets(a.user_id, of_agent, of_budget);
    return refusal;
  elsif must_wait then
    return private.reserve_refusal('RESOURCE_LIMIT_EXCEEDED',
      'Calls under way may use up what the limit leaves; try again',
      now() + interval '1 second') || '{"wait": true}';
  end if;
  r.input_tokens := input;
  r.output_tokens := granted;
  r.input_price := coalesce(r.input_price, 0);
  r.output_price := case when own.model is null then 0 else r.output_price end;
  r.cached_price := case when own.model is null then 0 else r.cached_price end;
  r.cost_micros := private.call_cost(r, input, 0, granted);
  r.floor_input := 0;
  r.floor_output := 0;
  r.lease_expires_at := now() + make_interval(secs => lease_seconds);
  insert into private.reservations select (r).*;
  return private.reservation_answer(r, a.framework);
end
$$;
comment on function private.reserve(uuid, text, text, text, bigint, bigint, integer, uuid, boolean)
  is 'Reserves one call of a model within all caps and budgets, or says why not.';

-- Settles reservations of one agent: [{id, inputTokens, cachedInputTokens, outputTokens, unused?, answered?, refused?:
-- {code, message}}]. Each once: one
-- that is closed already, or is another agent's, is left as it is. Returns how many were settled. Takes lock_spending.
create function private.settle(of_agent text, items jsonb) returns integer
language plpgsql volatile set search_path = '' as $$
declare
  item jsonb;
  r private.reservations;
  settled integer := 0;
begin
  perform private.lock_spending(array(select distinct x.user_id from private.reservations x
    where x.agent_id = of_agent and x.id in (select (i ->> 'id')::uuid from jsonb_array_elements(items) i)));
  for item in select i from jsonb_array_elements(items) i loop
    select * into r from private.reservations x
      where x.id = (item ->> 'id')::uuid and x.agent_id = of_agent and x.closed_at is null;
    continue when not found;
    if coalesce((item ->> 'unused')::boolean, false) then
      perform private.close_reservation(r, 'unused', 0, 0, 0, coalesce((item ->> 'answered')::boolean, false)::integer);
    else
      perform private.close_reservation(r, 'settled', private.token_count(item, 'inputTokens'),
        private.token_count(item, 'cachedInputTokens'), private.token_count(item, 'outputTokens'),
        coalesce((item ->> 'answered')::boolean, false)::integer);
    end if;
    perform private.note_model(r, item);
    settled := settled + 1;
  end loop;
  return settled;
end
$$;
comment on function private.settle(text, jsonb) is 'Counts what reserved calls used, each once.';

-- A number of tokens out of a report: never negative, never beyond what a call could use.
create function private.token_count(item jsonb, field text) returns bigint
language sql immutable set search_path = ''
return case when jsonb_typeof(item -> field) = 'number'
  then greatest(0, least(1000000000, (item ->> field)::numeric))::bigint else 0 end;

-- The same, null where the report does not tell it.
create function private.told_tokens(item jsonb, field text) returns bigint
language sql immutable set search_path = ''
return case when jsonb_typeof(item -> field) = 'number' then private.token_count(item, field) end;

-- At the end of an answer that an agent's runtime made: what the platform saw of question and answer is the least that
-- its calls may count, and a call that is never settled counts in full within a minute. Takes lock_spending.
create function private.bound_job(of_user uuid, of_job uuid, least_input bigint, least_output bigint) returns void
language plpgsql volatile set search_path = '' as $$
declare
  r private.reservations;
  missing_input bigint;
  missing_output bigint;
begin
  perform private.lock_spending(array[of_user]);
  select greatest(0, least_input - coalesce(sum(x.counted_input), 0)),
    greatest(0, least_output - coalesce(sum(x.counted_output), 0))
    into missing_input, missing_output from private.reservations x where x.job_id = of_job;
  select * into r from private.reservations x where x.job_id = of_job order by x.closed_at nulls first, x.id limit 1;
  if r.closed_at is null then
    update private.reservations x set lease_expires_at = least(x.lease_expires_at, now() + interval '1 minute'),
        floor_input = case when x.id = r.id then least(missing_input, x.input_tokens) else 0 end,
        floor_output = case when x.id = r.id then least(missing_output, x.output_tokens) else 0 end
      where x.job_id = of_job and x.closed_at is null;
  elsif missing_input + missing_output > 0 then
    update private.reservations x set counted_input = x.counted_input + missing_input, counted_output = x.counted_output
      + missing_output
      where x.id = r.id;
    perform private.add_usage(private.usage_of(r, 0, missing_input, 0, missing_output,
      private.call_cost(r, missing_input, 0, missing_output)));
  end if;
end
$$;
