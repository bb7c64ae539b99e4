-- Foundation: schemas, default privileges, extensions, the error list, small helpers.
-- `public` holds what clients read through RLS, and the RPCs. `private` holds everything else and is never exposed.

-- Hosted Supabase revokes these for new objects since 2026-10-30; older projects and PUBLIC's EXECUTE need it said.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;

create schema private;
comment on schema private is 'Rules and state behind the API. Never exposed through PostgREST.';
-- Row-level policies and RPCs run as the caller and name functions of this schema; each is granted by name.
grant usage on schema private to authenticated, service_role;

create extension if not exists pgcrypto with schema extensions;
create extension if not exists pg_net with schema extensions;
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists supabase_vault with schema vault;

-- Every error code of the API with its HTTP status. `_shared/contract/errors.ts` holds the
-- same list; a test compares them.
create function private.error_codes() returns jsonb
language sql immutable parallel safe set search_path = ''
return jsonb_build_object(
  'INVALID_JWT_TOKEN', 401,
  'INVALID_API_KEY', 401,
  'BUDGET_EXHAUSTED', 402,
  'INSUFFICIENT_PERMISSIONS', 403,
  'AGENT_NOT_FOUND', 404,
  'RLS_ACCESS_DENIED', 403,
  'SUPABASE_CONNECTION_ERROR', 503,
  'VALIDATION_ERROR', 400,
  'DEPLOYMENT_FAILED', 500,
  'RESOURCE_LIMIT_EXCEEDED', 429,
  'SECURITY_SCAN_FAILED', 422,
  'MODEL_PRICE_MISSING', 422,
  'PLUGIN_NOT_ALLOWED', 422,
  'REAL_TIME_SUBSCRIPTION_FAILED', 422,
  'RATE_LIMIT_EXCEEDED', 429,
  'AGENT_LIMIT_REACHED', 403,
  'INVALID_FRAMEWORK', 400,
  'INVALID_MODEL', 400,
  'PERMISSION_DENIED', 403,
  'IDEMPOTENCY_CONFLICT', 409,
  'CONFLICT', 409,
  'NOT_FOUND', 404,
  'METHOD_NOT_ALLOWED', 405,
  'UNSUPPORTED_MEDIA_TYPE', 415,
  'PAYLOAD_TOO_LARGE', 413,
  'INTERNAL_ERROR', 500
);
comment on function private.error_codes() is 'Error code → HTTP status, the one list of the API.';

-- Raises `code` so that PostgREST answers with its HTTP status and {code, message, details, hint}.
-- details: field → problem, or other facts; PostgREST wants strings, so it travels as JSON text.
-- headers: of the answer.
create function private.raise_error(code text, message text, details jsonb default null,
  headers jsonb default '{}') returns void
language plpgsql immutable set search_path = '' as $$
declare
  status integer := (private.error_codes() ->> code)::integer;
begin
  if status is null then
    raise exception 'raise_error: % is not an error code of this API', code;
  end if;
  raise sqlstate 'PGRST' using
    message = json_build_object('code', code, 'message', message, 'details', details::text, 'hint', null)::text,
    detail = json_build_object('status', status, 'headers', headers)::text;
end
$$;
comment on function private.raise_error(text, text, jsonb, jsonb) is
  'The only way this project raises an error to a client.';

-- Small helpers are plpgsql throughout: it keeps their plans for the session, while an SQL function that sets
-- search_path is planned anew in each call (launch_agent 6.5 → 3.9 ms, list_agents 2.5 → 1.3 ms). An expression without
-- a subquery, assigned or returned, runs as no statement; PERFORM and subqueries do.

-- n random characters of a–z and 2–7 (RFC 4648 base32, lower case): 5 bits each, safe in a DNS label.
create function private.random_base32(n integer) returns text
language plpgsql volatile set search_path = '' as $$
declare
  bytes bytea := extensions.gen_random_bytes(n);
  word text := '';
begin
  for i in 0 .. n - 1 loop
    word := word || substr('abcdefghijklmnopqrstuvwxyz234567', (get_byte(bytes, i) & 31) + 1, 1);
  end loop;
  return word;
end
$$;

-- A request header as PostgREST hands it over (names are lower case), or null outside a request.
create function private.request_header(name text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return nullif(current_setting('request.headers', true), '')::jsonb ->> name;
end
$$;

-- `value`, or what stands for it where it is larger than so many bytes of text. For what is kept of what others say.
create function private.within(value jsonb, most integer) returns jsonb
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if octet_length(value::text) > most then
    return jsonb_build_object('omitted', format('larger than %s bytes', most));
  end if;
  return value;
end
$$;
comment on function private.within(jsonb, integer) is 'A JSON value, or a note where it is too large to be kept.';

-- RFC 3339 in UTC with milliseconds, the form of every timestamp in an /api body.
create function private.iso(t timestamptz) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
end
$$;

-- Whether a text shows nothing: null, empty, or white space and invisible characters alone (no-break and zero-width
-- spaces, joiners, controls, a byte-order mark). The contract's `isBlank` judges the same; a test holds them equal.
create function private.is_blank(value text) returns boolean
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return coalesce(value ~ '^[\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f'
    '\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8'
    '\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*$', true);
end
$$;
comment on function private.is_blank(text) is
  'Whether a text is null, empty or has only white space and invisible characters.';

-- A number with its noun: '1 agent', '2 agents'.
create function private.counted(n bigint, noun text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return n || ' ' || noun || case when n = 1 then '' else 's' end;
end
$$;

-- The names most like `wanted`, best first: what a misspelt name probably meant. Compared by common trigrams (Dice),
-- since pg_trgm and fuzzystrmatch are not installed everywhere.
create function private.nearest(wanted text, names text[], most integer default 3) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return (
    with words as (
      select t.name, '  ' || lower(left(t.name, 100)) || ' ' as padded from unnest(names || wanted) as t (name)
        group by t.name
    ), grams as (
      select distinct w.name, substr(w.padded, g, 3) as gram from words w, generate_series(1, length(w.padded) - 2) g
    ), counts as (
      select g.name, count(*) as grams,
        count(*) filter (where g.gram in (select x.gram from grams x where x.name = wanted)) as common
      from grams g group by g.name
    ), ranked as (
      select c.name, 2.0 * c.common / (c.grams + w.grams) as likeness
      from counts c, counts w where w.name = wanted and c.name <> wanted
    )
    select coalesce(array_agg(r.name order by r.likeness desc, r.name), '{}')
    from (select * from ranked where likeness >= 0.3 order by likeness desc, name limit most) r);
end
$$;
comment on function private.nearest(text, text[], integer) is 'The names most like a misspelt one, best first.';

-- A Kubernetes quantity ('512Mi', '1.5Gi', '.5', '1e9', '250m') as a number; null when it is not one.
-- Source: the grammar of k8s.io/apimachinery's resource.Quantity, without a sign.
create function private.quantity(value text) returns numeric
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  suffix text := ltrim(value, '0123456789');
  parts text[];
begin
  -- As nearly all are written: a launch asks for twelve, and the expression below takes eight times as long.
  if suffix in ('Mi', 'Gi', 'm') and length(value) - length(suffix) between 1 and 20 then
    return left(value, -length(suffix))::numeric
      * case suffix when 'Mi' then 1048576 when 'Gi' then 1073741824 else 0.001 end;
  end if;
  parts := regexp_match(value,
    '^([0-9]{1,20}\.?[0-9]{0,9}|\.[0-9]{1,9})([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$');
  suffix := coalesce(parts[2], '');
  return parts[1]::numeric * case
    when suffix = '' then 1
    when suffix ~ '^[eE][-+0-9]' then power(10::numeric, substring(suffix from 2)::integer)
    when suffix ~ 'i$' then power(1024::numeric, position(left(suffix, 1) in 'KMGTPE'))
    when suffix in ('n', 'u', 'm') then power(1000::numeric, position(suffix in 'mun') * -1)
    else power(1000::numeric, position(suffix in 'kMGTPE'))
  end;
end
$$;
comment on function private.quantity(text) is 'A Kubernetes quantity as a number; null when it is not one.';

-- Bytes of a memory quantity, rounded up as Kubernetes does; null when it is not one.
create function private.memory_bytes(value text) returns bigint
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  q numeric := private.quantity(value);
begin
  -- least() skips nulls: what is not a quantity must stay null.
  return case when q is not null then least(ceil(q), 9223372036854775807)::bigint end;
end
$$;

-- Thousandths of a core of a CPU quantity, rounded up as Kubernetes does; null when it is not one.
create function private.cpu_millicores(value text) returns integer
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  q numeric := private.quantity(value);
begin
  return case when q is not null then least(ceil(q * 1000), 2147483647)::integer end;
end
$$;

-- Bytes in their one written form: the largest binary unit that divides them, else the largest decimal one.
create function private.memory_text(bytes bigint) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return case
    when bytes % 1073741824 = 0 then bytes / 1073741824 || 'Gi' when bytes % 1048576 = 0 then bytes / 1048576 || 'Mi'
    when bytes % 1000000000 = 0 then bytes / 1000000000 || 'G' when bytes % 1000000 = 0 then bytes / 1000000 || 'M'
    when bytes % 1024 = 0 then bytes / 1024 || 'Ki' when bytes % 1000 = 0 then bytes / 1000 || 'k'
    else bytes::text end;
end
$$;
comment on function private.memory_text(bigint) is 'Bytes as a quantity in canonical form, such as 512Mi.';

-- Bytes in words for people: the largest binary unit, at most two decimals.
create function private.size_text(bytes numeric) returns text
language sql immutable parallel safe set search_path = ''
return (
  select trim_scale(round(bytes / u.size, 2)) || case bytes when 1 then ' byte' else ' ' || u.name end
  from (values (1::numeric, 'bytes'), (1024, 'KiB'), (1048576, 'MiB'), (1073741824, 'GiB'), (1099511627776, 'TiB'))
    as u (size, name)
  where u.size = 1 or bytes >= u.size order by u.size desc limit 1
);
comment on function private.size_text(numeric) is 'Bytes in words, such as 2 GiB.';

-- Sizes in their one written form (memory 1536Mi, cpu 500m), whatever quantity was written, a JSON number too.
-- What is not a quantity stays as it is, for the checks to name.
create function private.canonical_resources(resources jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  bytes bigint := case when jsonb_typeof(resources -> 'memory') in ('string', 'number')
    then private.memory_bytes(resources ->> 'memory') end;
  millicores integer := case when jsonb_typeof(resources -> 'cpu') in ('string', 'number')
    then private.cpu_millicores(resources ->> 'cpu') end;
begin
  return resources
    || case when bytes is not null then jsonb_build_object('memory', private.memory_text(bytes)) else '{}' end
    || case when millicores is not null then jsonb_build_object('cpu', millicores || 'm') else '{}' end;
end
$$;
comment on function private.canonical_resources(jsonb) is 'Memory and CPU in canonical form.';

-- What is wrong with one value: field → problem, '{}' when nothing is. The words are those of the contract
-- (supabase/functions/_shared/contract/primitives.ts); tests/integration/contract-words.test.ts holds them equal.
-- rule: a kind and its bounds, as shape_problems lists them.
create function private.value_problems(value jsonb, rule text, field text) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  parts text[] := string_to_array(rule, ' ');
  kind text := parts[1];
  type text := jsonb_typeof(value);
  words text := value #>> '{}';
  problem text;
begin
  case kind
    when 'string' then
      problem := case when type <> 'string' then 'Must be text'
        when parts[3] is not null and (private.is_blank(words) or length(words) > parts[3]::integer)
          then format('Must have %s to %s characters, not all blank', parts[2], parts[3])
        when parts[3] is null and length(words) > parts[2]::integer then format('Must have at most %s characters',
          parts[2]) end;
    when 'integer' then
      -- Without bounds, nine digits: what fits into an integer.
      if type <> 'number' or value::text !~ ('^-?[0-9]{1,' || case when parts[2] is null then 9 else 18 end || '}$')
         or value::text::numeric not between parts[2]::numeric and parts[3]::numeric then
        problem := 'Must be a whole number' || coalesce(format(' from %s to %s', parts[2], parts[3]), '');
      end if;
    when 'number' then
      if type <> 'number' or words::numeric not between parts[2]::numeric and parts[3]::numeric then
        problem := 'Must be a number' || coalesce(format(' from %s to %s', parts[2], parts[3]), '');
      end if;
    when 'boolean' then problem := case when type <> 'boolean' then 'Must be true or false' end;
    when 'object' then problem := case when type <> 'object' then 'Must be an object' end;
    when 'quantity' then
      problem := case when type not in ('string', 'number') then 'Must be a quantity such as "512Mi" or "500m"' end;
    when 'one' then
      problem := case when type <> 'string' or words <> all (parts[2:]) then 'Must be '
        || array_to_string(parts[2:], ' or ') end;
    else -- array, strings
      problem := case when type <> 'array' then 'Must be a list'
        when jsonb_array_length(value) > parts[2]::integer then format('Must have at most %s items', parts[2]) end;
      if problem is null and kind = 'strings' then
        -- A few of them say what is wrong.
        return (select coalesce(jsonb_object_agg(x.place, x.problem), '{}') from (
          select format('%s.%s', field, i.place - 1) as place,
            case when jsonb_typeof(i.item) <> 'string' then 'Must be text'
              else format('Must have at most %s characters', parts[3]) end as problem
          from jsonb_array_elements(value) with ordinality as i (item, place)
          where jsonb_typeof(i.item) <> 'string' or length(i.item #>> '{}') > parts[3]::integer limit 50) x);
      end if;
  end case;
  return case when problem is null then '{}' else jsonb_build_object(field, problem) end;
end
$$;
comment on function private.value_problems(jsonb, text, text) is 'Field → problem of one value of a body.';

-- What is wrong with the types, bounds and names of `body`'s fields: field → problem, '{}' when nothing is.
-- shape: field → a nested shape, or a kind with its bounds ('!' at the end: required):
--   string [most] | string least most (not blank) | integer [low high] | number [low high] | boolean | quantity |
--   one of these | object | array [most] | strings [most [longest]]
create function private.shape_problems(body jsonb, shape jsonb, prefix text default '') returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '{}';
  field text;
  rule jsonb;
  value jsonb;
begin
  if jsonb_typeof(body) is distinct from 'object' then
    return case when prefix = '' then '{"body": "Must be a JSON object"}'
      else jsonb_build_object(rtrim(prefix, '.'), 'Must be an object') end;
  end if;
  -- A few of them say what is wrong; a body of a hundred thousand must not cost a hundred thousand answers.
  for field in select k from jsonb_object_keys(body) as k where not shape ? k limit 50 loop
    problems := problems || jsonb_build_object(prefix || left(field, 100), 'Unknown field');
  end loop;
  for field, rule in select s.key, s.value from jsonb_each(shape) as s loop
    value := nullif(body -> field, 'null');
    if value is null then
      if jsonb_typeof(rule) = 'string' and right(rule #>> '{}', 1) = '!' then
        problems := problems || jsonb_build_object(prefix || field, 'Required');
      end if;
    elsif jsonb_typeof(rule) = 'object' then
      problems := problems || private.shape_problems(value, rule, prefix || field || '.');
    else
      problems := problems || private.value_problems(value, rtrim(rule #>> '{}', '!'), prefix || field);
    end if;
  end loop;
  return problems;
end
$$;
comment on function private.shape_problems(jsonb, jsonb, text) is
  'Field → problem for unknown, missing and wrongly typed fields.';
