-- What a query of a client may ask, judged where PostgreSQL itself has parsed it: no estimates of the planner, no
-- statement of any length, no costly pattern. PostgREST hands SQL neither the query string nor all headers of a name,
-- so a guard that read those would read something else than what is run.

-- 1: the LIMIT of the look-up of who is reading, in every policy on rows of users. The planner asks for a LIMIT while
-- it plans, so a statement is judged before any of it runs, and where nothing of it would run. Refuses
--   · EXPLAIN: estimates (Prefer: count=planned or estimated, execution plans) know the rows of all users;
--   · statements of more than 32 KiB: values are parameters, so only filters, columns and
-- embedded tables make a text long.
-- Judges PostgREST's connections alone; service_role passes the policies by. Definer: callers
-- may not execute raise_error.
-- Raises VALIDATION_ERROR.
create function private.one_row() returns bigint
language plpgsql stable security definer set search_path = '' as $$
begin
  if session_user = 'authenticator' then
    if current_query() ~* '^\s*explain' then
      perform private.refuse_estimates();
    elsif length(current_query()) > 32768 then
      perform private.raise_error('VALIDATION_ERROR', 'The request asks for too much at once',
        '{"select": "Use fewer filters, columns and embedded tables"}');
    end if;
  end if;
  return 1;
end
$$;
grant execute on function private.one_row() to authenticated;
comment on function private.one_row() is '1, or a refusal of the statement that is being planned.';

-- Also raised by the pre-request, where the header says so.
create function private.refuse_estimates() returns void
language plpgsql stable set search_path = '' as $$
begin
  perform private.raise_error('VALIDATION_ERROR', 'Estimates are not available; ask for count=exact',
    '{"Prefer": "Must not be count=planned or count=estimated; use count=exact"}');
end
$$;

-- 2: patterns. Whether a regular expression is sure to end soon on any text, in any engine: short, no repeated group,
-- no backreference, lookaround or option, few repetitions. Counts characters as they stand, so an escaped or bracketed
-- one counts too. Asked by tools' schemas, by PostgREST's and GraphQL's filters (below) and by Realtime's.
create function private.is_calm_pattern(pattern text) returns boolean
language sql immutable parallel safe set search_path = ''
return length(pattern) <= 200
  and pattern !~ '^\*\*\*' and pattern !~ '\(\?[^:]' and pattern !~ '\\[1-9k]'
  and pattern !~ '\)\s*[*+{?]'
  and (select count(*) from regexp_matches(pattern, '[*+]|\{\s*\d*\s*,\s*\}', 'g')) <= 3
  and (select count(*) from regexp_matches(pattern, '[?|]', 'g')) <= 20
  and (select coalesce(sum(least(999999999, left(x.found[1], 9)::bigint)), 0)
       from regexp_matches(pattern, '\{\s*(?:\d*\s*,\s*)?(\d+)\s*\}', 'g') as x (found)) <= 256;
comment on function private.is_calm_pattern(text) is 'Whether a regular expression ends soon on any text.';

-- The same of a LIKE pattern.
create function private.is_calm_like(pattern text) returns boolean
language sql immutable parallel safe set search_path = ''
return length(pattern) <= 200 and length(pattern) - length(replace(pattern, '%', '')) <= 8;

-- The pattern itself where it is calm. With a pattern that is known when a query is planned,
-- both are asked once a query;
-- their cost keeps the planner from a plan that would ask for each row. Definer: callers may not execute raise_error.
-- Raise VALIDATION_ERROR.
create function private.calm_pattern(pattern text) returns text
language plpgsql immutable parallel safe security definer cost 10000 set search_path = '' as $$
begin
  if not private.is_calm_pattern(pattern) then
    perform private.raise_error('VALIDATION_ERROR', 'This pattern is too costly',
      '{"pattern": "Must be at most 200 characters, without repeated groups, lookarounds, backreferences and options, '
        'with at most 3 of * and +"}');
  end if;
  return pattern;
end
$$;
create function private.calm_like(pattern text) returns text
language plpgsql immutable parallel safe security definer cost 10000 set search_path = '' as $$
begin
  if not private.is_calm_like(pattern) then
    perform private.raise_error('VALIDATION_ERROR', 'This pattern is too costly',
      '{"pattern": "Must be at most 200 characters with at most 8 wildcards %"}');
  end if;
  return pattern;
end
$$;
grant execute on function private.calm_pattern(text), private.calm_like(text) to anon, authenticated, service_role;

-- 3: the operators of patterns, with the check inside. PostgREST writes `name ~ $1` and `name like $1`; which operator
-- that is follows from the search path of its connections (below), where these come before pg_catalog's. Whatever the
-- filter's form — nested, negated, any(…), on an embedded table — the operator is the same. The functions have no
-- search_path of their own because PostgreSQL then puts their body in their place (a row 0.25 µs, as pg_catalog's own;
-- 2.9 µs else); the body is parsed already, so no search path can change it. `extensions` is in the search path anyway.
create function extensions.calm_regex(text, text) returns boolean
language sql immutable parallel safe return $1 operator(pg_catalog.~) private.calm_pattern($2);
create function extensions.calm_iregex(text, text) returns boolean
language sql immutable parallel safe return $1 operator(pg_catalog.~*) private.calm_pattern($2);
create function extensions.calm_like(text, text) returns boolean
language sql immutable parallel safe return $1 operator(pg_catalog.~~) private.calm_like($2);
create function extensions.calm_ilike(text, text) returns boolean
language sql immutable parallel safe return $1 operator(pg_catalog.~~*) private.calm_like($2);
grant execute on function extensions.calm_regex(text, text), extensions.calm_iregex(text, text),
  extensions.calm_like(text, text), extensions.calm_ilike(text, text) to anon, authenticated, service_role;
create operator extensions.~ (leftarg = text, rightarg = text, function = extensions.calm_regex);
create operator extensions.~* (leftarg = text, rightarg = text, function = extensions.calm_iregex);
create operator extensions.~~ (leftarg = text, rightarg = text, function = extensions.calm_like);
create operator extensions.~~* (leftarg = text, rightarg = text, function = extensions.calm_ilike);

alter role authenticator set pgrst.db_extra_search_path = 'public, extensions, pg_catalog';
notify pgrst, 'reload config';
