-- What each model of the catalogue takes: settings, limits, thinking, tools, API. Agents are judged by it when a
-- setting is set, and each call is made by it (private.reserve hands it out). Sources: the providers' pages, public
-- reports of what they refuse, and what the AI SDK's packages send (a test compares the three:
-- integration/model-facts.test.ts).

-- Facts of the named models. Of settings that a model does not take its provider refuses some
-- and its package drops others.
update public.models m set takes = f.takes, max_output_tokens = f.max_output, thinks = f.thinks, api = f.api,
  max_stops = case m.framework when 'openai' then 4 when 'google' then 5 end,
  max_temperature = case m.framework when 'anthropic' then 1 else 2 end,
  takes_blank_stops = m.framework <> 'anthropic', takes_temperature_with_top_p = m.framework <> 'anthropic',
    calls_tools = true
from (
  select unnest(x.names) as name, x.takes::text[], x.max_output, x.thinks, x.api from (values
    ('{gpt-4o,gpt-4o-mini}'::text[], '{temperature,top_p,presence_penalty,frequency_penalty,stop}', 16384,
      'never', 'chat'),
    ('{gpt-4-turbo}', '{temperature,top_p,presence_penalty,frequency_penalty,stop}', 4096, 'never', 'chat'),
    ('{gpt-4.1,gpt-4.1-mini,gpt-4.1-nano}', '{temperature,top_p,presence_penalty,frequency_penalty,stop}', 32768,
      'never', 'chat'),
    ('{o3,o3-mini,o4-mini}', '{}', 100000, 'always', 'chat'),
    ('{gpt-5,gpt-5-mini,gpt-5-nano}', '{}', 128000, 'always', 'chat'),
    ('{gpt-5.1,gpt-5.2,gpt-5.4,gpt-5.4-mini,gpt-5.4-nano,gpt-5.5}', '{temperature,top_p}', 128000,
      'unless_sampled', 'chat'),
    -- With tools these think on the Responses API alone.
    ('{gpt-5.6,gpt-5.6-luna,gpt-5.6-sol,gpt-5.6-terra,gpt-6-luna,gpt-6-sol,gpt-6.1-terra}',
      '{temperature,top_p}', 128000,
      'unless_sampled', 'responses'),
    ('{gpt-6-astra,gpt-6.1-sol}', '{}', 128000, 'always', 'responses'),
    ('{claude-3-5-haiku-20241022}', '{temperature,top_p,stop}', 8192, 'never', null),
    ('{claude-opus-4-20250514,claude-opus-4-1-20250805}', '{temperature,top_p,stop}', 32000, 'never', null),
    ('{claude-3-7-sonnet-20250219,claude-sonnet-4-20250514,claude-sonnet-4-5,claude-sonnet-4-5-20250929,'
      'claude-haiku-4-5,'
      'claude-haiku-4-5-20251001,claude-opus-4-5,claude-opus-4-5-20251101}', '{temperature,top_p,stop}', 64000,
        'never', null),
    ('{claude-sonnet-4-6,claude-opus-4-6}', '{temperature,top_p,stop}', 128000, 'never', null),
    ('{claude-opus-4-7,claude-opus-4-8,claude-opus-5,claude-sonnet-5,claude-haiku-5-5}', '{stop}', 128000,
      'never', null),
    ('{claude-opus-5-5,claude-sonnet-5-5,claude-fable-5,claude-fable-5-1,claude-fable-5-2}', '{stop}', 128000,
      'always', null),
    ('{gemini-2.0-flash}', '{temperature,top_p,presence_penalty,frequency_penalty,stop}', 8192, 'never', null),
    ('{gemini-2.5-pro,gemini-2.5-flash,gemini-2.5-flash-lite,gemini-3-pro-preview,gemini-3-flash-preview,'
      'gemini-3.1-pro-preview,'
      'gemini-3.1-flash-lite-preview,gemini-3.5-flash,gemini-3.5-flash-lite,gemini-3.6-flash,gemini-3.7-flash,'
        'gemini-3.8-flash,'
      'gemini-4-argon,gemini-4-carbon,gemini-4-hydrogen,gemini-pro-latest,gemini-flash-latest,'
        'gemini-flash-lite-latest}',
      '{temperature,top_p,stop}', 65536, 'always', null)
  ) x (names, takes, max_output, thinks, api)
) f where f.name = m.name;

-- What a call of this model must heed, for who makes it; null where nothing is known.
create function private.model_facts(of_framework text, of_model text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select nullif(jsonb_strip_nulls(jsonb_build_object('takes', to_jsonb(m.takes),
    'maxOutputTokens', m.max_output_tokens,
      'maxTemperature', m.max_temperature, 'maxStops', m.max_stops, 'blankStops', m.takes_blank_stops,
      'temperatureWithTopP', m.takes_temperature_with_top_p, 'thinks', m.thinks, 'callsTools', m.calls_tools,
        'api', m.api)), '{}')
    from public.models m where m.framework = of_framework and m.name = of_model);
end
$$;
comment on function private.model_facts(text, text) is 'What a call of this model must heed.';

-- Settings of the right form that this model does not take: field → problem with its cure. A value that changes nothing
-- (temperature 1, top_p 1, a penalty of 0, no stop) is taken by every model.
-- packages/agent-runtime/src/engines/model/facts.ts decides the same for each call.
create function private.model_setting_problems(of_framework text, of_model text, settings jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  m public.models;
  given jsonb;
begin
  if settings = '{}' then
    return '{}';
  end if;
  select * into m from public.models x where x.framework = of_framework and x.name = of_model;
  if not found or jsonb_typeof(settings) is distinct from 'object' then
    return '{}';
  end if;
  m.takes := coalesce(m.takes, '{temperature,top_p,presence_penalty,frequency_penalty,stop}');
  select coalesce(jsonb_object_agg(s.key, s.value), '{}') into given from jsonb_each(settings) s
    where (s.key in ('temperature', 'top_p', 'presence_penalty', 'frequency_penalty', 'max_tokens')
      and jsonb_typeof(s.value) = 'number'
        and (s.key, s.value) not in (('top_p', '1'), ('presence_penalty', '0'), ('frequency_penalty', '0'))
        and not (s.key = 'temperature' and s.value = '1'
          and (coalesce(m.thinks, 'never') <> 'never' or not s.key = any (m.takes))))
      or (s.key = 'stop' and jsonb_typeof(s.value) = 'array' and exists (
        select from jsonb_array_elements_text(s.value) t where t <> ''));
  return coalesce((select jsonb_object_agg('settings.' || g.key,
        format('Model %s does not take %s; remove it, or choose another model', of_model, g.key))
      from jsonb_each(given) g where g.key <> 'max_tokens' and not g.key = any (m.takes)), '{}')
    || private.problem_if('temperature' = any (m.takes) and (given ->> 'temperature')::numeric > m.max_temperature,
         'settings.temperature', format('Must be at most %s for model %s', m.max_temperature, of_model))
    || private.problem_if('top_p' = any (m.takes) and not m.takes_temperature_with_top_p
      and given ?& array['temperature', 'top_p'],
         'settings.top_p', format('Model %s takes temperature or top_p, not both; remove one', of_model))
    || private.problem_if((given ->> 'max_tokens')::numeric > m.max_output_tokens,
         'settings.max_tokens', format('Must be at most %s for model %s', m.max_output_tokens, of_model))
    || private.problem_if('stop' = any (m.takes) and not m.takes_blank_stops and exists (
           select from jsonb_array_elements_text(given -> 'stop') t where t <> '' and private.is_blank(t)),
         'settings.stop', format('Model %s needs more than white space in each entry', of_model))
    || private.problem_if('stop' = any (m.takes) and (
           select count(*) from jsonb_array_elements_text(given -> 'stop') t where t <> '') > m.max_stops,
         'settings.stop', format('Must have at most %s entries for model %s', m.max_stops, of_model));
end
$$;
comment on function private.model_setting_problems(text, text, jsonb) is
  'Settings that a model does not take: field and problem.';
