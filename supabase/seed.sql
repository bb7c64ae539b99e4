-- Data of the embedded stack's first start (and of `supabase db reset`); a hosted project never sees it.

-- Names of models as OpenAI-compatible servers on this machine offer them (Ollama, LM Studio, llama.cpp …), so that an
-- agent can answer without an account: start the stack with
-- OPENAI_BASE_URL=http://127.0.0.1:11434/v1 and any OPENAI_API_KEY.
insert into public.models (framework, name) values
  ('openai', 'llama3.2'), ('openai', 'qwen3'), ('openai', 'gemma3'), ('openai', 'mistral'), ('openai', 'gpt-oss')
on conflict do nothing;

-- A model that repeats what it is sent: a first answer without an account, a key or a server. One statement, because a
-- framework and its default model refer to each other.
with framework as (
  insert into public.frameworks (name, default_model) values ('echo', 'echo') on conflict do nothing
), model as (
  insert into public.models (framework, name, takes, calls_tools) values ('echo', 'echo', '{}', false)
  on conflict do nothing
)
insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million,
    cached_input_micros_per_million, valid_from)
values ('echo', 'echo', 0, 0, 0, timestamptz '2026-01-01') on conflict do nothing;

-- A laptop has one user: the tutorial, pasted at once, must not meet production's 20 requests a minute.
update public.rate_limits set max_requests = 30 * max_requests where (bucket, max_requests) in (('api', 100),
  ('api_burst', 20));
