-- Data of the embedded stack's first start (and of `supabase db reset`); a hosted project never sees it.

-- Names of models as OpenAI-compatible servers on this machine offer them (Ollama, LM Studio, llama.cpp …), so that an
-- agent can answer without an account: start the stack with
-- OPENAI_BASE_URL=http://127.0.0.1:11434/v1 and any OPENAI_API_KEY.
insert into public.models (framework, name) values
  ('openai', 'llama3.2'), ('openai', 'qwen3'), ('openai', 'gemma3'), ('openai', 'mistral'), ('openai', 'gpt-oss')
on conflict do nothing;
