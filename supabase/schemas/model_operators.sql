-- How operators keep the catalogue: put and retire models, each in one call with a cure for what is wrong. The tables
-- can be changed by plain SQL as well, and everybody can read them (docs/models.md).

-- One model as operators are answered: its row, its price, whether it is the default.
create function private.told_model(of_framework text, of_model text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select to_jsonb(m) - 'created_at' || jsonb_build_object('default', f.default_model = m.name, 'price', (
      select jsonb_build_object('inputMicros', p.input_micros_per_million, 'outputMicros', p.output_micros_per_million,
        'cachedInputMicros', p.cached_input_micros_per_million)
      from private.model_price(m.framework, m.name) p where p.model is not null))
    from public.models m join public.frameworks f on f.name = m.framework
    where m.framework = of_framework and m.name = of_model);
end
$$;

-- Adds a model, or changes the named parts of one. model: {framework, name, takes?, max_output_tokens?,
-- max_temperature?, max_stops?, takes_blank_stops?, takes_temperature_with_top_p?, thinks?, calls_tools?, api?,
-- default?, price?: {inputMicros, outputMicros, cachedInputMicros?} per million tokens}. Raises VALIDATION_ERROR.
-- Definer: service_role has no rights on private functions.
create function private.put_model(model jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(model, '{"framework": "string!", "name": "string!", "takes": "strings",
    "max_output_tokens": "integer", "max_temperature": "number", "max_stops": "integer", "takes_blank_stops": "boolean",
    "takes_temperature_with_top_p": "boolean", "thinks": "string", "calls_tools": "boolean", "api": "string",
    "default": "boolean", "price": {"inputMicros": "integer!", "outputMicros": "integer!",
      "cachedInputMicros": "integer"}}', 'model.');
  known constant text[] := '{temperature,top_p,presence_penalty,frequency_penalty,stop}';
  m public.models;
begin
  perform private.raise_problems(problems);
  perform private.raise_problems(
    private.problem_if(not exists (select from public.frameworks f where f.name = model ->> 'framework'),
      'model.framework',
      'Must be one of: ' || (select string_agg(f.name, ', ' order by f.name) from public.frameworks f))
    || private.problem_if(model ->> 'name' !~ '^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}$', 'model.name',
      'Must be the provider''s name of the model: 1 to 100 letters, digits and . _ : / @ -')
    || private.problem_if(jsonb_typeof(model -> 'takes') = 'array' and not private.texts(model -> 'takes') <@ known,
      'model.takes',
      'Must be some of: ' || array_to_string(known, ', '))
    || private.problem_if((model ->> 'max_output_tokens')::integer not between 1 and 1000000, 'model.max_output_tokens',
      'Must be between 1 and 1000000')
    || private.problem_if((model ->> 'max_temperature')::numeric not between 0 and 2, 'model.max_temperature',
      'Must be between 0 and 2')
    || private.problem_if((model ->> 'max_stops')::integer not between 0 and 16, 'model.max_stops',
      'Must be between 0 and 16')
    || private.problem_if(model ->> 'thinks' not in ('never', 'always', 'unless_sampled'), 'model.thinks',
      'Must be never, always or unless_sampled')
    || private.problem_if(model ->> 'api' not in ('chat', 'responses'), 'model.api', 'Must be chat or responses')
    || private.problem_if(least((model -> 'price' ->> 'inputMicros')::bigint,
      (model -> 'price' ->> 'outputMicros')::bigint,
      (model -> 'price' ->> 'cachedInputMicros')::bigint) < 0, 'model.price', 'Must not be negative'));
  insert into public.models as x (framework, name) values (model ->> 'framework', model ->> 'name')
    on conflict do nothing;
  select * into strict m from public.models x where x.framework = model ->> 'framework'
    and x.name = model ->> 'name' for update;
  update public.models x set
      takes = case when model ? 'takes' then case when model -> 'takes' = 'null' then null
        else private.texts(model -> 'takes') end else m.takes end,
      max_output_tokens = case when model ? 'max_output_tokens' then (model ->> 'max_output_tokens')::integer
        else m.max_output_tokens end,
      max_temperature = case when model ? 'max_temperature' then (model ->> 'max_temperature')::numeric
        else m.max_temperature end,
      max_stops = case when model ? 'max_stops' then (model ->> 'max_stops')::integer else m.max_stops end,
      takes_blank_stops = case when model ? 'takes_blank_stops' then (model ->> 'takes_blank_stops')::boolean
        else m.takes_blank_stops end,
      takes_temperature_with_top_p = case when model ? 'takes_temperature_with_top_p'
        then (model ->> 'takes_temperature_with_top_p')::boolean else m.takes_temperature_with_top_p end,
      thinks = case when model ? 'thinks' then model ->> 'thinks' else m.thinks end,
      calls_tools = case when model ? 'calls_tools' then (model ->> 'calls_tools')::boolean else m.calls_tools end,
      api = case when model ? 'api' then model ->> 'api' else m.api end
    where x.framework = m.framework and x.name = m.name;
  if jsonb_typeof(model -> 'price') = 'object' then
    insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million,
      cached_input_micros_per_million)
      values (m.framework, m.name, (model -> 'price' ->> 'inputMicros')::bigint,
        (model -> 'price' ->> 'outputMicros')::bigint,
        coalesce((model -> 'price' ->> 'cachedInputMicros')::bigint, (model -> 'price' ->> 'inputMicros')::bigint));
  end if;
  if (model ->> 'default')::boolean then
    perform private.raise_problems(private.problem_if(m.retires_at is not null, 'model.default',
      format('Model %s is retired on %s; a default must stay', m.name, m.retires_at)));
    update public.frameworks f set default_model = m.name where f.name = m.framework;
  end if;
  return private.told_model(m.framework, m.name);
end
$$;

-- Gives a model the day from which its provider no longer serves it; null takes it back.
-- Raises NOT_FOUND, VALIDATION_ERROR.
-- Definer: as above.
create function private.retire_model(of_framework text, of_model text, on_day date, new_successor text,
  still_taken boolean) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  if not exists (select from public.models m where m.framework = of_framework and m.name = of_model) then
    perform private.raise_error('NOT_FOUND', format('No model %s of framework %s', left(of_model, 100),
      left(of_framework, 100)),
      '{"name": "Must be a row of models"}');
  end if;
  perform private.raise_problems(
    private.problem_if(on_day is not null and exists (
        select from public.frameworks f where f.name = of_framework and f.default_model = of_model), 'name',
      format('Model %s is the default of %s; make another one the default first', of_model, of_framework))
    || private.problem_if(new_successor is not null and (new_successor = of_model or not exists (
        select from public.models m where m.framework = of_framework and m.name = new_successor
          and m.retires_at is null)), 'successor',
      'Must be another model of the same framework that is not retired'));
  update public.models m set retires_at = on_day, successor = case when on_day is null then null else new_successor end,
      refused_when_retired = not coalesce(still_taken, false)
    where m.framework = of_framework and m.name = of_model;
  return private.told_model(of_framework, of_model) || jsonb_build_object('agents', (
    select count(*) from public.agents a where a.framework = of_framework and a.model = of_model
      and a.deleted_at is null));
end
$$;
grant execute on function private.put_model(jsonb), private.retire_model(text, text, date, text, boolean)
  to service_role;

create function public.put_model(model jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.put_model(model); end $$;
create function public.retire_model(framework text, name text, retires_at date, successor text default null,
  still_taken boolean default false)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.retire_model(framework, name, retires_at, successor, still_taken); end $$;
revoke execute on function public.put_model(jsonb), public.retire_model(text, text, date, text, boolean)
  from public, anon, authenticated;
grant execute on function public.put_model(jsonb), public.retire_model(text, text, date, text, boolean) to service_role;
comment on function public.put_model(jsonb) is 'Operators: adds a model, or changes the named parts of one.';
comment on function public.retire_model(text, text, date, text, boolean) is
  'Operators: sets the day on which a model retires, and its successor.';

revoke execute on all functions in schema private from public;
