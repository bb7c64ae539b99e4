-- After the tables of Auth exist (lite's own migrations made them): hosted's functions, owners and grants.

create or replace function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;
create or replace function auth.role() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
  )
$$;
create or replace function auth.email() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
  )
$$;
create or replace function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;
comment on function auth.uid() is 'Deprecated on hosted too in favour of auth.jwt() ->> ''sub''; the id of the caller.';

do $$
declare
  object record;
begin
  for object in select oid::regclass as name from pg_class where relnamespace = 'auth'::regnamespace and relkind = 'r'
    loop
    execute format('alter table %s owner to supabase_auth_admin', object.name);
    execute format('alter table %s enable row level security', object.name);
    execute format('grant all on table %s to postgres, dashboard_user', object.name);
    execute format('grant select on table %s to postgres with grant option', object.name);
  end loop;
  for object in select oid::regprocedure as name from pg_proc where pronamespace = 'auth'::regnamespace loop
    execute format('alter function %s owner to supabase_auth_admin', object.name);
    execute format('grant execute on function %s to postgres, dashboard_user', object.name);
  end loop;
end
$$;

-- Hosted's Auth gives a banned account no session and refreshes none. Lite makes and refreshes sessions by these rows,
-- so they refuse; the platform answers `user_banned`.
create or replace function extensions.refuse_banned() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from auth.users u where u.id = new.user_id::uuid and u.banned_until > now()) then
    raise exception 'user_banned' using errcode = '42501';
  end if;
  return new;
end
$$;
create or replace trigger _000_refuse_banned before insert or update on auth.sessions
  for each row execute function extensions.refuse_banned();
create or replace trigger _000_refuse_banned before insert or update on auth.refresh_tokens
  for each row execute function extensions.refuse_banned();
