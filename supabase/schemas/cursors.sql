-- Pages of lists: by `limit` and `offset`, and by cursors, which neither skip nor repeat a row
-- while others come and go.
-- A cursor is opaque to clients: 16 hex digits that bind it to its list, caller and filters, then the sort keys of the
-- page's last row. It is no secret and needs no signature: wherever a list begins, it shows its caller's rows alone.

-- What a cursor belongs to. filters: everything that decides which rows are in the list.
create function private.list_binding(list text, caller uuid, filters jsonb default '[]') returns text
language sql stable set search_path = ''
return left(md5(jsonb_build_array(list, caller, filters)::text), 16);

-- A moment as a sort key: all its microseconds, which private.iso leaves out.
create function private.moment_key(t timestamptz) returns text
language sql stable set search_path = ''
return to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- keys: a JSON array of texts.
create function private.cursor_of(binding text, keys jsonb) returns text
language sql stable set search_path = ''
return binding || translate(encode(convert_to(keys::text, 'UTF8'), 'base64'), E'+/=\n', '-_');

-- The sort keys in a cursor, each valid as the type in `kinds`; null without a cursor. Raises VALIDATION_ERROR.
create function private.cursor_keys(cursor text, binding text, kinds text[]) returns text[]
language plpgsql stable set search_path = '' as $$
declare
  packed text := translate(substr(cursor, 17), '-_', '+/');
  keys text[];
begin
  if cursor is null then
    return null;
  end if;
  if length(cursor) <= 4016 and cursor ~ '^[0-9a-f]{16}[A-Za-z0-9_-]+$' and left(cursor, 16) = binding then
    begin
      keys := array(select jsonb_array_elements_text(convert_from(decode(
        packed || repeat('=', -length(packed) & 3), 'base64'), 'UTF8')::jsonb));
    exception when data_exception then
      keys := null;
    end;
    if cardinality(keys) = cardinality(kinds)
       and (select bool_and(coalesce(pg_input_is_valid(k.key, k.kind), false))
         from unnest(keys, kinds) as k (key, kind)) then
      return keys;
    end if;
  end if;
  perform private.raise_problems('{"after": "Must be the nextCursor of this list, asked with the same filters"}',
    'The cursor in `after` is not one of this list; leave it out to begin with the first page');
end
$$;

-- limit, offset and cursor of a list; raises VALIDATION_ERROR.
create function private.check_page("limit" integer, "offset" integer, "after" text,
  largest integer default 100) returns void
language plpgsql stable set search_path = '' as $$
begin
  if "limit" between 1 and largest and "offset" between 0 and 1000000 and ("offset" = 0 or "after" is null) then
    return;
  end if;
  perform private.raise_query_problems(
    private.problem_if(coalesce("limit" not between 1 and largest, false),
      'limit', format('Must be a whole number from 1 to %s', largest))
    || private.problem_if(coalesce("offset" not between 0 and 1000000, false),
      'offset', 'Must be a whole number from 0 to 1000000')
    || private.problem_if("offset" > 0 and "after" is not null, 'offset', 'Must be left out where `after` is given'));
end
$$;

-- One page: {<list>: items, nextCursor}. items and keys (the sort keys of each) hold one more
-- than `most` where there are more.
create function private.page(list text, items jsonb, keys jsonb, most integer, binding text) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(list, coalesce(items, '[]') - most, 'nextCursor',
  case when jsonb_array_length(items) > most then private.cursor_of(binding, keys -> (most - 1)) end);
