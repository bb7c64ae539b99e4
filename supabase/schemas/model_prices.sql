-- What a model's tokens cost: one row per model and moment from which it counts. The price at
-- the time of the call counts.

create table public.model_prices (
  framework text not null references public.frameworks (name) on delete cascade on update cascade,
  model text not null,
  -- Millionths of a US dollar per million tokens: $2.50 per million is 2500000.
  input_micros_per_million bigint not null,
  output_micros_per_million bigint not null,
  cached_input_micros_per_million bigint not null,
  valid_from timestamptz not null default now(),
  constraint model_prices_pkey primary key (framework, model, valid_from),
  constraint model_prices_model_length check (length(model) between 1 and 100),
  constraint model_prices_not_negative check (input_micros_per_million >= 0 and output_micros_per_million >= 0
    and cached_input_micros_per_million >= 0)
);
alter table public.model_prices enable row level security;
grant select on public.model_prices to anon, authenticated, service_role;
grant insert, update, delete on public.model_prices to service_role;
create policy "everyone can read prices" on public.model_prices for select to anon, authenticated using (true);
comment on table public.model_prices is
  'What each model costs in micro-dollars per million tokens; operators add a row to change a price.';

-- The price of a model now; null where it has none.
create function private.model_price(of_framework text, of_model text) returns public.model_prices
language plpgsql stable set search_path = '' as $$
declare
  price public.model_prices;
begin
  select * into price from public.model_prices p
    where p.framework = of_framework and p.model = of_model and p.valid_from <= now()
      order by p.valid_from desc limit 1;
  return price;
end
$$;

-- The statement that gives a model its price, for who reads the error.
create function private.price_statement(of_framework text, of_model text) returns text
language sql immutable set search_path = ''
return format('insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million, '
  'cached_input_micros_per_million) values (%L, %L, 2500000, 10000000, 1250000)', of_framework, of_model);

-- What to do about a model without a price, for people.
create function private.price_missing(of_framework text, of_model text) returns text
language sql immutable set search_path = ''
return format('The model %s has no price, which a budget needs. An operator adds one with `launchpad models add %s %s '
  '--price 2.5/10` '
  '(dollars per million tokens, input/output; 0/0 for a local model)', of_model, of_framework, of_model);

-- The providers' list prices as the package genai-prices 0.2.3 (MIT, 2026-11) has them, for the catalogue's models; the
-- price of prompts below any "long context" step. gemini-4-carbon and gemini-4-hydrogen have no published price yet.
insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million,
    cached_input_micros_per_million, valid_from)
select 'openai', p.*, timestamptz '2026-01-01' from (values
  ('gpt-4o', 2500000, 10000000, 1250000), ('gpt-4o-mini', 150000, 600000, 75000),
  ('gpt-4-turbo', 10000000, 30000000, 10000000), ('gpt-4.1', 2000000, 8000000, 500000),
  ('gpt-4.1-mini', 400000, 1600000, 100000), ('gpt-4.1-nano', 100000, 400000, 25000),
  ('gpt-5', 1250000, 10000000, 125000), ('gpt-5-mini', 250000, 2000000, 25000),
  ('gpt-5-nano', 50000, 400000, 5000), ('gpt-5.1', 1250000, 10000000, 125000),
  ('gpt-5.2', 1750000, 14000000, 175000), ('gpt-5.4', 2500000, 15000000, 250000),
  ('gpt-5.4-mini', 750000, 4500000, 75000), ('gpt-5.4-nano', 200000, 1250000, 20000),
  ('gpt-5.5', 5000000, 30000000, 500000), ('gpt-5.6', 4000000, 20000000, 400000),
  ('gpt-5.6-luna', 200000, 1200000, 20000), ('gpt-5.6-sol', 4000000, 20000000, 400000),
  ('gpt-5.6-terra', 2000000, 12000000, 200000), ('gpt-6-astra', 10000000, 50000000, 1000000),
  ('gpt-6-luna', 100000, 500000, 10000), ('gpt-6-sol', 2000000, 10000000, 200000),
  ('gpt-6.1-sol', 2000000, 10000000, 100000), ('gpt-6.1-terra', 1000000, 5000000, 50000),
  ('o3', 2000000, 8000000, 500000), ('o3-mini', 1100000, 4400000, 550000), ('o4-mini', 1100000, 4400000, 275000)
) p;

insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million,
    cached_input_micros_per_million, valid_from)
select 'anthropic', p.*, timestamptz '2026-01-01' from (values
  ('claude-sonnet-4-20250514', 3000000, 15000000, 300000), ('claude-opus-4-20250514', 15000000, 75000000, 1500000),
  ('claude-opus-4-1-20250805', 15000000, 75000000, 1500000),
  ('claude-sonnet-4-5-20250929', 3000000, 15000000, 300000),
  ('claude-haiku-4-5-20251001', 1000000, 5000000, 100000), ('claude-opus-4-5-20251101', 5000000, 25000000, 500000),
  ('claude-3-7-sonnet-20250219', 3000000, 15000000, 300000), ('claude-3-5-haiku-20241022', 800000, 4000000, 80000),
  ('claude-sonnet-4-5', 3000000, 15000000, 300000), ('claude-haiku-4-5', 1000000, 5000000, 100000),
  ('claude-opus-4-5', 5000000, 25000000, 500000), ('claude-opus-4-6', 5000000, 25000000, 500000),
  ('claude-sonnet-4-6', 3000000, 15000000, 300000), ('claude-opus-4-7', 5000000, 25000000, 500000),
  ('claude-opus-4-8', 5000000, 25000000, 500000), ('claude-opus-5', 5000000, 25000000, 500000),
  ('claude-sonnet-5', 2000000, 10000000, 200000), ('claude-opus-5-5', 4000000, 20000000, 200000),
  ('claude-sonnet-5-5', 2000000, 10000000, 100000), ('claude-haiku-5-5', 100000, 500000, 10000),
  ('claude-fable-5', 10000000, 50000000, 1000000), ('claude-fable-5-1', 10000000, 50000000, 250000),
  ('claude-fable-5-2', 8000000, 40000000, 200000)
) p;

insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million,
    cached_input_micros_per_million, valid_from)
select 'google', p.*, timestamptz '2026-01-01' from (values
  ('gemini-2.0-flash', 100000, 400000, 25000), ('gemini-2.5-pro', 1250000, 10000000, 125000),
  ('gemini-2.5-flash', 300000, 2500000, 30000), ('gemini-2.5-flash-lite', 100000, 400000, 10000),
  ('gemini-3-pro-preview', 2000000, 12000000, 200000), ('gemini-3-flash-preview', 500000, 3000000, 50000),
  ('gemini-3.1-pro-preview', 2000000, 12000000, 200000), ('gemini-3.1-flash-lite-preview', 250000, 1500000, 25000),
  ('gemini-3.5-flash', 1500000, 9000000, 150000), ('gemini-3.5-flash-lite', 300000, 2500000, 30000),
  ('gemini-3.6-flash', 750000, 3750000, 75000), ('gemini-3.7-flash', 750000, 3750000, 75000),
  ('gemini-3.8-flash', 750000, 3750000, 75000), ('gemini-4-argon', 2000000, 10000000, 100000),
  ('gemini-pro-latest', 2000000, 12000000, 200000), ('gemini-flash-latest', 750000, 3750000, 75000),
  ('gemini-flash-lite-latest', 300000, 2500000, 30000)
) p;
