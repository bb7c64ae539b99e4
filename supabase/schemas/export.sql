-- What a user may take along (GDPR articles 15 and 20): one document, bounded by bytes, that names what did not fit and
-- where the rest is read.

insert into private.verbs (name, permission, status, idempotent) values ('export_my_data', null, 200, false);

insert into private.security_settings (name, value, description) values
  ('export', '{"max_bytes": 16777216, "max_rows": 50000}',
   'How much one export of a user''s data holds: bytes of rows in all, and rows of one table.');

-- The newest rows of a user in one table, until one more would not fit: {rows, count, bytes}. Read row by row, so that
-- what does not fit is not built.
create function private.newest_rows(wanted text, moment text, of_user uuid, most_rows integer,
  most_bytes bigint) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  r record;
  taken jsonb[] := '{}';
  count integer := 0;
  bytes bigint := 0;
begin
  -- Sorted before it is written as JSON: 241 MB of one user's rows took 5.6 s the other way round.
  for r in execute format('select to_jsonb(t) - ''vault_id'' as body
      from (select * from public.%I x where x.user_id = $1 order by x.%I desc limit $2) t', wanted, moment)
  using of_user, most_rows loop
    bytes := bytes + octet_length(r.body::text) + 2;
    exit when bytes > most_bytes;
    taken := taken || r.body;
    count := count + 1;
  end loop;
  return jsonb_build_object('rows', to_jsonb(taken), 'count', count, 'bytes', least(bytes, most_bytes));
end
$$;

-- Everything a user owns as one document. Names of secrets, never values. Small tables come first, so that the
-- telemetry of years does not leave out what a person wrote. `omitted` says how many older rows of which table did not
-- fit, and `rest` where each is read on, a thousand at a time.
create function private.verb_export_my_data(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  setting jsonb := (select s.value from private.security_settings s where s.name = 'export');
  most_rows integer := (setting ->> 'max_rows')::integer;
  budget bigint := (setting ->> 'max_bytes')::bigint;
  wanted text;
  moment text;
  part jsonb;
  total bigint;
  omitted jsonb := '{}';
  rest jsonb := '{}';
  tables jsonb := '{}';
begin
  for wanted in
    select t from private.tables_of_users('public') t order by pg_table_size(('public.' || quote_ident(t))::regclass), t
  loop
    select a.attname into moment from pg_attribute a
      where a.attrelid = ('public.' || quote_ident(wanted))::regclass
        and a.attname in ('timestamp', 'created_at', 'updated_at', 'granted_at', 'day', 'started_at', 'user_id')
      order by array_position(array['timestamp', 'created_at', 'updated_at', 'granted_at', 'day', 'started_at',
        'user_id'], a.attname::text) limit 1;
    part := private.newest_rows(wanted, moment, caller, most_rows, budget);
    tables := tables || jsonb_build_object(wanted, part -> 'rows');
    budget := budget - (part ->> 'bytes')::bigint;
    execute format('select count(*) from public.%I t where t.user_id = $1', wanted) into total using caller;
    if total > (part ->> 'count')::bigint then
      omitted := omitted || jsonb_build_object(wanted, total - (part ->> 'count')::bigint);
      rest := rest || jsonb_build_object(wanted,
        format('/rest/v1/%s?order=%s.desc&offset=%s&limit=1000', wanted, moment, part ->> 'count'));
    end if;
  end loop;
  return private.profile(caller)
    || jsonb_build_object('exportedAt', private.iso(now()), 'user_id', caller, 'tables', tables,
      'omitted', omitted, 'rest', rest,
    'sessions', (select coalesce(jsonb_agg(jsonb_build_object('created_at', private.iso(s.created_at), 'ip', host(s.ip),
      'user_agent', s.user_agent) order by s.created_at), '[]') from auth.sessions s where s.user_id = caller),
    'identities',
      (select coalesce(jsonb_agg(jsonb_build_object('provider', i.provider, 'created_at', private.iso(i.created_at),
      'identity_data', i.identity_data) order by i.created_at), '[]') from auth.identities i where i.user_id = caller),
    'files',
      (select coalesce(jsonb_agg(jsonb_build_object('bucket', o.bucket_id, 'name', o.name, 'size', o.metadata -> 'size',
      'created_at', private.iso(o.created_at)) order by o.bucket_id, o.name), '[]')
      from storage.objects o where o.owner_id = caller::text or o.owner = caller));
end
$$;

create function public.export_my_data() returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('export_my_data', '{}'); end $$;
revoke execute on function public.export_my_data() from public, anon, service_role;
grant execute on function public.export_my_data() to authenticated;
comment on function public.export_my_data() is 'Everything the caller owns as one document; no secret values.';

revoke execute on all functions in schema private from public;
