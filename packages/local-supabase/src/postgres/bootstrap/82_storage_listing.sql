-- Lists of objects: one folder or one level of names at a time, read along an index. All run with the caller's rights.

set local role supabase_storage_admin;

-- The folder below a prefix that a key is in, with its delimiter; null where the key is in none.
create or replace function storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) returns text
language sql immutable as $$
  select left(p_key, length(p_prefix) + nullif(strpos(substr(p_key, length(p_prefix) + 1), p_delimiter), 0))
$$;

-- Objects and folders below a prefix, in byte order. A folder costs one look into the index, however much is in it: the
-- next one begins behind everything that it holds. U+10FFFF stands behind every name, U+0001 before each continuation.
create or replace function storage.list_objects_with_delimiter(
  _bucket_id text, prefix_param text, delimiter_param text, max_keys integer default 100,
  start_after text default '', next_token text default '', sort_order text default 'asc'
) returns table (name text, id uuid, metadata jsonb, updated_at timestamptz, created_at timestamptz,
  last_accessed_at timestamptz)
language plpgsql stable as $$
declare
  ascending constant boolean := lower(coalesce(sort_order, 'asc')) = 'asc';
  wanted constant text := coalesce(prefix_param, '');
  beyond constant text := wanted || chr(1114111);
  after constant text := coalesce(nullif(next_token, ''), start_after, '');
  is_folder boolean;
  seek text := case when ascending then wanted else beyond end;
  folder text;
  remaining integer := max_keys;
  found_one boolean := true;
  o record;
  query constant text := format(
    'select o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at from storage.objects o
     where o.bucket_id = $1 and o.name collate "C" %s order by o.name collate "C" %s limit $4',
    case when ascending then '>= $2 and o.name collate "C" < $3' else '< $2 and o.name collate "C" >= $3' end,
    case when ascending then 'asc' else 'desc' end);
begin
  if after <> '' then
    is_folder := right(after, length(delimiter_param)) = delimiter_param or exists (
      select from storage.objects f where f.bucket_id = _bucket_id
        and f.name collate "C" >= after || delimiter_param
        and f.name collate "C" < after || delimiter_param || chr(1114111));
    seek := rtrim(after, delimiter_param);
    if is_folder then
      seek := case when ascending then seek || delimiter_param || chr(1114111) else seek || delimiter_param end;
      seek := case when ascending then greatest(seek collate "C", wanted) else least(seek collate "C", beyond) end;
    else
      seek := case when ascending then greatest(seek || chr(1) collate "C", wanted)
        else least(seek collate "C", beyond) end;
    end if;
  end if;
  while found_one and remaining > 0 loop
    found_one := false;
    for o in execute query using _bucket_id, seek, case when ascending then beyond else wanted end,
        least(remaining, 1000) loop
      found_one := true;
      remaining := remaining - 1;
      folder := storage.get_common_prefix(o.name, wanted, delimiter_param);
      if folder is not null then
        name := rtrim(folder, delimiter_param);
        id := null; metadata := null; updated_at := null; created_at := null; last_accessed_at := null;
        return next;
        seek := case when ascending then folder || chr(1114111) else folder end;
        exit;
      end if;
      name := o.name; id := o.id; metadata := o.metadata;
      updated_at := o.updated_at; created_at := o.created_at; last_accessed_at := o.last_accessed_at;
      return next;
      seek := case when ascending then o.name || chr(1) else o.name end;
    end loop;
  end loop;
end
$$;

-- By time: folders have the time of their oldest object.
create or replace function storage.search_by_timestamp(
  p_prefix text, p_bucket_id text, p_limit integer, p_level integer, p_start_after text, p_sort_order text,
  p_sort_column text, p_sort_column_after text
) returns table (key text, name text, id uuid, updated_at timestamptz, created_at timestamptz,
  last_accessed_at timestamptz, metadata jsonb)
language plpgsql stable as $$
begin
  return query execute format($query$
    select split_part(e.name, '/', $4), e.name, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
    from (
      select o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata from storage.objects o
      where o.bucket_id = $1 and o.name collate "C" like $2 || '%%'
        and storage.get_common_prefix(o.name, $2, '/') is null
      union all
      select rtrim(storage.get_common_prefix(o.name, $2, '/'), '/'), null, min(o.created_at), min(o.created_at), null,
        null
      from storage.objects o
      where o.bucket_id = $1 and o.name collate "C" like $2 || '%%'
        and storage.get_common_prefix(o.name, $2, '/') is not null
      group by 1
    ) e
    where $5 = '' or (date_trunc('milliseconds', e.%1$I), e.name collate "C") %2$s
      (coalesce(nullif($6, '')::timestamptz, 'epoch'), $5)
    order by coalesce(date_trunc('milliseconds', e.%1$I), 'epoch') %3$s, e.name collate "C" %3$s
    limit $3
  $query$, p_sort_column, case when p_sort_order = 'asc' then '>' else '<' end, p_sort_order)
  using p_bucket_id, coalesce(p_prefix, ''), p_limit, p_level, coalesce(p_start_after, ''), p_sort_column_after;
end
$$;

create or replace function storage.search_v2(
  prefix text, bucket_name text, limits integer default 100, levels integer default 1, start_after text default '',
  sort_order text default 'asc', sort_column text default 'name', sort_column_after text default ''
) returns table (key text, name text, id uuid, updated_at timestamptz, created_at timestamptz,
  last_accessed_at timestamptz, metadata jsonb)
language plpgsql stable as $$
declare
  most constant integer := least(coalesce(limits, 100), 1500);
  direction constant text := case when lower(sort_order) = 'desc' then 'desc' else 'asc' end;
begin
  if lower(sort_column) in ('updated_at', 'created_at') then
    return query select * from storage.search_by_timestamp(prefix, bucket_name, most, levels, start_after, direction,
      lower(sort_column), sort_column_after);
  else
    return query select split_part(l.name, '/', levels), l.name, l.id, l.updated_at, l.created_at,
      l.last_accessed_at, l.metadata
      from storage.list_objects_with_delimiter(bucket_name, prefix, '/', most, start_after, '', direction) l;
  end if;
end
$$;

-- The first form of lists: pages by offset, without regard to case, names relative to the prefix. `levels` is not used
-- any more, on hosted neither.
create or replace function storage.search(
  prefix text, bucketname text, limits integer default 100, levels integer default 1, offsets integer default 0,
  search text default '', sortcolumn text default 'name', sortorder text default 'asc'
) returns table (name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
  metadata jsonb)
language plpgsql stable as $$
declare
  ascending constant boolean := lower(coalesce(sortorder, 'asc')) = 'asc';
  direction constant text := case when ascending then 'asc' else 'desc' end;
  below constant text := coalesce(prefix, '');
  wanted constant text := lower(below || coalesce(search, ''));
  beyond constant text := wanted || chr(1114111);
  seek text := case when ascending then wanted else beyond end;
  remaining integer := least(coalesce(limits, 100), 1500);
  to_skip integer := coalesce(offsets, 0);
  folder text;
  found_one boolean := true;
  o record;
  query constant text := format(
    'select o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at from storage.objects o
     where o.bucket_id = $1 and lower(o.name) collate "C" %s order by lower(o.name) collate "C" %s limit 1000',
    case when ascending then '>= $2 and lower(o.name) collate "C" < $3'
      else '< $2 and lower(o.name) collate "C" >= $3' end, direction);
begin
  if lower(sortcolumn) in ('updated_at', 'created_at', 'last_accessed_at') then
    return query execute format($query$
      (select distinct array_to_string(o.path_tokens[$1:$2], '/') as name, null::uuid, null::timestamptz,
         null::timestamptz, null::timestamptz, null::jsonb
       from storage.objects o
       where o.bucket_id = $4 and o.name ilike $3 || '%%' and cardinality(o.path_tokens) <> $2
       order by name %1$s)
      union all
      (select array_to_string(o.path_tokens[$1:$2], '/'), o.id, o.updated_at, o.created_at, o.last_accessed_at,
         o.metadata
       from storage.objects o
       where o.bucket_id = $4 and o.name ilike $3 || '%%' and cardinality(o.path_tokens) = $2
       order by o.%2$I %1$s)
      limit $5 offset $6 $query$, direction, lower(sortcolumn))
    using greatest(1, cardinality(string_to_array(below, '/'))),
      greatest(1, cardinality(string_to_array(below || coalesce(search, ''), '/'))),
      below || coalesce(search, ''), bucketname, remaining, to_skip;
    return;
  end if;
  while found_one and remaining > 0 loop
    found_one := false;
    for o in execute query using bucketname, seek, case when ascending then beyond else wanted end loop
      found_one := true;
      folder := storage.get_common_prefix(lower(o.name), wanted, '/');
      if folder is not null then
        name := substr(o.name, length(below) + 1, length(folder) - length(below) - 1);
        id := null; metadata := null; updated_at := null; created_at := null; last_accessed_at := null;
        seek := case when ascending then folder || chr(1114111) else folder end;
      else
        name := substr(o.name, length(below) + 1);
        id := o.id; metadata := o.metadata;
        updated_at := o.updated_at; created_at := o.created_at; last_accessed_at := o.last_accessed_at;
        seek := case when ascending then lower(o.name) || chr(1) else lower(o.name) end;
      end if;
      if to_skip > 0 then
        to_skip := to_skip - 1;
      else
        return next;
        remaining := remaining - 1;
      end if;
      exit when folder is not null or remaining = 0;
    end loop;
  end loop;
end
$$;

-- Multipart uploads under way, of a folder one.
create or replace function storage.list_multipart_uploads_with_delimiter(
  bucket_id text, prefix_param text, delimiter_param text, max_keys integer default 100,
  next_key_token text default '', next_upload_token text default ''
) returns table (key text, id text, created_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
  return query
    select distinct on (e.key) e.key, e.id, e.created_at
    from (select coalesce(storage.get_common_prefix(u.key, prefix_param, delimiter_param), u.key) collate "C" as key,
            u.id, u.created_at
          from storage.s3_multipart_uploads u
          where u.bucket_id = list_multipart_uploads_with_delimiter.bucket_id and u.key ilike prefix_param || '%') e
    where (next_upload_token = '' or e.id collate "C" > next_upload_token)
      and (next_key_token = '' or next_upload_token <> '' or e.key > next_key_token)
    order by e.key, e.created_at limit max_keys;
end
$$;

reset role;
