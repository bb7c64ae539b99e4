-- What was used and what it may cost: GET /api/usage, /api/budgets. Below them, the RPCs by which agents' runtimes and
-- `respond` reserve and settle.

insert into private.verbs (name, permission, status, idempotent) values
  ('get_usage', 'agents:read', 200, false),
  ('list_budgets', 'agents:read', 200, false),
  ('put_budget', 'agents:write', 200, false),
  ('delete_budget', 'agents:write', 200, false);

-- A day out of a query; null where it is none.
create function private.day_of(value text) returns date
language plpgsql immutable set search_path = '' as $$
begin
  return case when value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' then value::date end;
exception when datetime_field_overflow then
  return null;
end
$$;

-- Days are whole and in UTC, both ends included. Groups come newest day first, then by name.
create function private.verb_get_usage(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  last_day date := case when args ->> 'to' is null then (now() at time zone 'UTC')::date
    else private.day_of(args ->> 'to') end;
  first_day date := case when args ->> 'from' is null then last_day - 29 else private.day_of(args ->> 'from') end;
  groups text[] := string_to_array(coalesce(nullif(args ->> 'groupBy', ''), 'day'), ',');
  most integer := coalesce((args ->> 'limit')::integer, 100);
  skip integer := coalesce((args ->> 'offset')::integer, 0);
  binding text := private.list_binding('usage', caller, jsonb_build_array(args ->> 'from', args ->> 'to', groups));
  last_seen text[];
  result jsonb;
begin
  perform private.raise_query_problems(
    private.problem_if(last_day is null, 'to', 'Must be a day such as 2026-01-31')
    || private.problem_if(first_day is null and (args ->> 'from' is not null),
      'from', 'Must be a day such as 2026-01-31')
    || private.problem_if(first_day > last_day, 'from', 'Must not be after `to`')
    || private.problem_if(last_day - first_day > 399, 'from', 'Must be at most 400 days before `to`')
    || private.problem_if(not groups <@ array['day', 'agent', 'model', 'source'], 'groupBy',
         'Must be a list of: day, agent, model, source'));
  perform private.check_page(most, skip, args ->> 'after', 1000);
  last_seen := private.cursor_keys(args ->> 'after', binding, '{date,text,text,text}');
  with used as (
    select * from public.usage_daily u where u.user_id = caller and u.day between first_day and last_day
  ), grouped as (
    -- Infinity and '' stand for what is not grouped by, so that any two groups can be compared.
    select case when 'day' = any (groups) then u.day else 'infinity' end as day,
      case when 'agent' = any (groups) then u.agent_id else '' end as agent_id,
      case when 'model' = any (groups) then u.model else '' end as model,
      case when 'source' = any (groups) then u.source else '' end as source,
      sum(u.answers) as answers, sum(u.input_tokens) as input, sum(u.cached_input_tokens) as cached,
      sum(u.output_tokens) as output, sum(u.cost_micros) as cost
    from used u group by 1, 2, 3, 4
  ), page as (
    select * from grouped g
    where last_seen is null or g.day < last_seen[1]::date
      or (g.day = last_seen[1]::date and (g.agent_id, g.model, g.source) > (last_seen[2], last_seen[3], last_seen[4]))
    order by g.day desc, g.agent_id, g.model, g.source limit most + 1 offset skip
  )
  select (select private.page('items',
      jsonb_agg(jsonb_strip_nulls(jsonb_build_object('day', case when 'day' = any (groups) then p.day end,
        'agentId', case when 'agent' = any (groups) then p.agent_id end,
          'model', case when 'model' = any (groups) then p.model end,
        'source', case when 'source' = any (groups) then p.source end))
        || private.usage_figures(p.answers, p.input, p.cached, p.output, p.cost) order by p.day desc, p.agent_id,
          p.model, p.source),
      jsonb_agg(jsonb_build_array(p.day, p.agent_id, p.model, p.source) order by p.day desc, p.agent_id,
        p.model, p.source),
      most, binding) from page p)
    || jsonb_build_object(
    'count', (select count(*) from grouped),
    'total', (select private.usage_figures(sum(u.answers), sum(u.input_tokens), sum(u.cached_input_tokens),
      sum(u.output_tokens),
        sum(u.cost_micros)) from used u),
    'currency', 'USD') into result;
  return result;
end
$$;

create function private.usage_figures(answers numeric, input numeric, cached numeric, output numeric,
  cost numeric) returns jsonb
language sql immutable set search_path = ''
return jsonb_build_object('answers', coalesce(answers, 0), 'inputTokens', coalesce(input, 0),
  'cachedInputTokens', coalesce(cached, 0),
  'outputTokens', coalesce(output, 0), 'costMicros', coalesce(cost, 0));

create function private.budget_body(b public.budgets) returns jsonb
language sql stable set search_path = ''
return (select jsonb_build_object('id', b.id, 'scope', b.scope, 'agentId', b.agent_id, 'period', b.period,
    'limitMicros', b.limit_micros, 'warnAt', b.warn_at, 'action', b.action, 'spentMicros', x.spent,
      'reservedMicros', x.reserved,
    'reached', x.spent >= b.limit_micros or coalesce(b.reached_for = private.period_start(b.period), false),
    'resetsAt', private.iso(private.period_end(b.period)), 'createdAt', private.iso(b.created_at),
      'updatedAt', private.iso(b.updated_at))
  from private.budget_use(b) x);

create function private.verb_list_budgets(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  most integer := coalesce((args ->> 'limit')::integer, 20);
  skip integer := coalesce((args ->> 'offset')::integer, 0);
  binding text := private.list_binding('budgets', caller);
  last_seen text[];
  oldest timestamptz := '-infinity';
  page jsonb;
begin
  perform private.check_page(most, skip, args ->> 'after');
  last_seen := private.cursor_keys(args ->> 'after', binding, '{timestamptz,uuid}');
  oldest := coalesce(last_seen[1]::timestamptz, oldest);
  select private.page('budgets', jsonb_agg(private.budget_body(b) order by b.created_at, b.id),
      jsonb_agg(jsonb_build_array(private.moment_key(b.created_at), b.id) order by b.created_at, b.id), most, binding)
    into page
    from (
      select * from public.budgets x
      where x.user_id = caller and x.created_at >= oldest and (x.created_at > oldest or x.id > last_seen[2]::uuid)
      order by x.created_at, x.id limit most + 1 offset skip) b;
  return page || jsonb_build_object(
    'total', (select count(*) from public.budgets x where x.user_id = caller));
end
$$;

-- Field → problem of the body of PUT /api/budgets.
create function private.budget_problems(budget jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(budget,
    '{"scope": "one user agent!", "agentId": "string 100", "period": "one day month!",
    "limitMicros": "integer 0 1000000000000000!", "warnAt": "number 0 1", "action": "one pause notify!"}');
begin
  if jsonb_typeof(budget) is distinct from 'object' then
    return problems;
  end if;
  return private.problem_if(budget ->> 'scope' = 'agent' and nullif(budget -> 'agentId', 'null') is null,
    'agentId', 'Required for the scope agent')
    || private.problem_if(budget ->> 'scope' = 'user' and nullif(budget -> 'agentId', 'null') is not null,
      'agentId', 'Only for the scope agent')
    || private.problem_if(budget -> 'warnAt' = '0', 'warnAt', 'Must be above 0 and at most 1')
    || problems;
end
$$;

-- Makes or changes the one budget of this scope and period. Answers that wait for it go on. Takes lock_spending; raises
-- AGENT_NOT_FOUND, MODEL_PRICE_MISSING (naming the statement that adds the price).
create function private.verb_put_budget(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  wanted jsonb := args -> 'budget';
  of_agent text := wanted ->> 'agentId';
  unpriced record;
  b public.budgets;
begin
  perform private.raise_problems(private.budget_problems(wanted));
  if of_agent is not null and not exists (
      select from public.agents a where a.id = of_agent and a.user_id = caller and a.deleted_at is null) then
    perform private.raise_error('AGENT_NOT_FOUND', format('Agent with ID ''%s'' not found or access denied',
      left(of_agent, 100)));
  end if;
  select x.framework, x.model into unpriced from (
    select distinct a.framework, coalesce(a.model, f.default_model) as model from public.agents a
      join public.frameworks f on f.name = a.framework
      where a.user_id = caller and a.deleted_at is null and (of_agent is null or a.id = of_agent)) x
    where (private.model_price(x.framework, x.model)).model is null order by 1, 2 limit 1;
  if found then
    perform private.raise_error('MODEL_PRICE_MISSING', private.price_missing(unpriced.framework, unpriced.model),
      jsonb_build_object('model', unpriced.model, 'statement', private.price_statement(unpriced.framework,
        unpriced.model)));
  end if;
  perform private.lock_spending(array[caller]);
  insert into public.budgets as x (user_id, agent_id, period, limit_micros, warn_at, action)
    values (caller, of_agent, wanted ->> 'period', (wanted ->> 'limitMicros')::bigint,
      coalesce((wanted ->> 'warnAt')::numeric, 0.8), wanted ->> 'action')
    on conflict on constraint budgets_user_id_agent_id_period_key do update set limit_micros = excluded.limit_micros,
      warn_at = excluded.warn_at, action = excluded.action, updated_at = now(),
      -- Another limit can be reached anew.
      warned_for = case when x.limit_micros = excluded.limit_micros then x.warned_for end,
      reached_for = case when x.limit_micros = excluded.limit_micros then x.reached_for end
    returning * into b;
  perform private.resume_replies(caller);
  return private.budget_body(b);
end
$$;

-- Raises NOT_FOUND, for another user's budget too.
create function private.verb_delete_budget(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  perform private.lock_spending(array[caller]);
  delete from public.budgets b where b.user_id = caller and b.id::text = args ->> 'budgetId';
  if not found then
    perform private.raise_error('NOT_FOUND', 'Budget not found');
  end if;
  perform private.resume_replies(caller);
  return jsonb_build_object('id', args -> 'budgetId', 'deleted', true);
end
$$;

create function public.get_usage("from" text default null, "to" text default null, group_by text default null,
  "limit" integer default 100, "offset" integer default 0, "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('get_usage', jsonb_build_object('from', "from", 'to', "to", 'groupBy', group_by,
    'limit', "limit",
    'offset', "offset", 'after', "after"));
end $$;
create function public.list_budgets("limit" integer default 20, "offset" integer default 0,
  "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('list_budgets', jsonb_build_object('limit', "limit", 'offset', "offset",
  'after', "after")); end $$;
create function public.put_budget(budget jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('put_budget', jsonb_build_object('budget', budget)); end $$;
create function public.delete_budget(budget_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('delete_budget', jsonb_build_object('budgetId', budget_id)); end $$;
revoke execute on function public.get_usage(text, text, text, integer, integer, text),
  public.list_budgets(integer, integer, text),
  public.put_budget(jsonb), public.delete_budget(text) from public, anon, service_role;
grant execute on function public.get_usage(text, text, text, integer, integer, text),
  public.list_budgets(integer, integer, text),
  public.put_budget(jsonb), public.delete_budget(text) to authenticated;
comment on function public.get_usage(text, text, text, integer, integer, text) is
  'The caller''s answers, tokens and cost, grouped.';
comment on function public.list_budgets(integer, integer, text) is 'The caller''s budgets, with what is spent of each.';
comment on function public.put_budget(jsonb) is 'Makes or changes a budget by the body of PUT /api/budgets.';
comment on function public.delete_budget(text) is 'Deletes a budget of the caller; answers that wait for it go on.';

-- Whether `credential` is that of this agent's runtime: HMAC-SHA256 of 'runtime' under the agent's message key, in hex.
-- The key itself is never sent. An agent that does not exist is refused as a wrong credential is. Raises
-- INSUFFICIENT_PERMISSIONS.
create function private.check_runtime(of_agent text, credential text) returns void
language plpgsql stable set search_path = '' as $$
declare
  key text := private.message_key(of_agent);
begin
  -- Digests are compared, so that the time taken tells nothing of the right one.
  if key is null or credential is null or not exists (select from public.agents a where a.id = of_agent)
      or extensions.digest(credential, 'sha256')
        <> extensions.digest(encode(extensions.hmac('runtime', key, 'sha256'), 'hex'), 'sha256') then
    perform private.raise_error('INSUFFICIENT_PERMISSIONS', 'This needs the credential of the agent''s runtime');
  end if;
end
$$;

-- Field → problem of what a runtime settles.
create function private.settled_problems(items jsonb) returns jsonb
language sql immutable set search_path = ''
return private.problem_if(jsonb_typeof(items) is distinct from 'array' or jsonb_array_length(items) > 100
  or exists (select from jsonb_array_elements(items) i where jsonb_typeof(i) <> 'object'
    or coalesce(i ->> 'id', '') !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    or coalesce(jsonb_typeof(i -> 'unused'), 'boolean') <> 'boolean' or coalesce(jsonb_typeof(i -> 'answered'),
      'boolean') <> 'boolean'
    or coalesce(jsonb_typeof(i -> 'refused'), 'object') <> 'object'),
  'settled', 'Must be a list of at most 100 objects, each with the id of a reservation');

-- Definer: anon, as which runtimes call, has no rights here; the credential authorises first. Settles what is over,
-- then reserves `call`: {id, source, model?, inputTokens, outputTokens, leaseSeconds, parent?, spare?}. A refusal is
-- answered with its status, not raised, so that what was settled stays. parent: the
-- reservation that came with a message of `respond`.
-- steps: [{messageId, steps}] of answers, kept after that (private.add_runtime_steps): one
-- call for what is known by then.
create function private.reserve_model_call(of_agent text, credential text, call jsonb, settled jsonb,
  steps jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  result jsonb;
  problems jsonb;
begin
  perform private.check_runtime(of_agent, credential);
  problems := private.settled_problems(settled)
    || private.shape_problems(call, '{"id": "string!", "source": "string!", "model": "string",
    "inputTokens": "integer!", "outputTokens": "integer!", "leaseSeconds": "integer!", "parent": "string",
    "spare": "boolean"}', 'call.');
  perform private.raise_problems(problems);
  perform private.raise_problems(
    private.settled_problems(jsonb_build_array(call - 'spare') || case when call ->> 'parent' is null then '[]'
      else jsonb_build_array(jsonb_build_object('id', call -> 'parent')) end)
    || private.problem_if(not call ->> 'source' = any (private.usage_sources()), 'call.source',
         'Must be one of: ' || array_to_string(private.usage_sources(), ', '))
    || private.problem_if(length(call ->> 'model') not between 1 and 200, 'call.model', 'Must have 1 to 200 characters')
    || private.problem_if((call ->> 'inputTokens')::bigint < 0, 'call.inputTokens', 'Must not be negative')
    || private.problem_if((call ->> 'outputTokens')::bigint < 0, 'call.outputTokens', 'Must not be negative')
    || private.problem_if((call ->> 'leaseSeconds')::integer not between 1 and 3700, 'call.leaseSeconds',
         'Must be a whole number from 1 to 3700'));
  if settled <> '[]' then
    perform private.settle(of_agent, settled);
  end if;
  result := private.reserve((call ->> 'id')::uuid, of_agent, call ->> 'source', call ->> 'model',
    (call ->> 'inputTokens')::bigint,
    (call ->> 'outputTokens')::bigint, (call ->> 'leaseSeconds')::integer,
    (select r.job_id from private.reservations r where r.id = (call ->> 'parent')::uuid and r.agent_id = of_agent),
    coalesce((call ->> 'spare')::boolean, false));
  perform private.add_runtime_steps(of_agent, steps);
  if not result ? 'id' then
    perform private.answer((private.error_codes() ->> (result ->> 'code'))::integer,
      jsonb_build_object('Retry-After', result ->> 'retryAfterSeconds'));
    return jsonb_build_object('code', result -> 'code', 'message', result -> 'message', 'details',
      (result -> 'details')::text, 'hint', null);
  end if;
  return result;
end
$$;

-- Definer: as above. → {settled, kept}: how many calls, how many steps.
create function private.settle_model_calls(of_agent text, credential text, settled jsonb, steps jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform private.check_runtime(of_agent, credential);
  perform private.raise_problems(private.settled_problems(settled));
  return jsonb_build_object('settled', private.settle(of_agent, settled),
    'kept', private.add_runtime_steps(of_agent, steps));
end
$$;
grant execute on function private.reserve_model_call(text, text, jsonb, jsonb, jsonb),
  private.settle_model_calls(text, text, jsonb, jsonb)
  to anon, service_role;

create function public.reserve_model_call(agent_id text, credential text, call jsonb, settled jsonb default '[]',
  steps jsonb default '[]')
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.reserve_model_call(agent_id, credential, call, settled, steps); end $$;
create function public.settle_model_calls(agent_id text, credential text, settled jsonb,
  steps jsonb default '[]') returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.settle_model_calls(agent_id, credential, settled, steps); end $$;
revoke execute on function public.reserve_model_call(text, text, jsonb, jsonb, jsonb),
  public.settle_model_calls(text, text, jsonb, jsonb)
  from public, authenticated;
grant execute on function public.reserve_model_call(text, text, jsonb, jsonb, jsonb),
  public.settle_model_calls(text, text, jsonb, jsonb)
  to anon, service_role;
comment on function public.reserve_model_call(text, text, jsonb, jsonb, jsonb) is
  'Runtime: reserves a call of a model, by the agent''s credential; also settles what others used, and stores steps of '
    'answers.';
comment on function public.settle_model_calls(text, text, jsonb, jsonb) is
  'Runtime: counts what reserved calls used, and keeps steps of answers.';

revoke execute on all functions in schema private from public;
