-- After the tables of Auth exist: hosted's functions, owners and grants.

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
  for object in select oid::regclass as name from pg_class where relnamespace = 'auth'::regnamespace
    and relkind = 'r'
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

-- What a data folder of release 0.2.0 had besides: Auth refuses banned accounts itself now.
drop trigger if exists _000_refuse_banned on auth.sessions;
drop trigger if exists _000_refuse_banned on auth.refresh_tokens;
drop function if exists extensions.refuse_banned();
update auth.users set instance_id = '00000000-0000-0000-0000-000000000000' where instance_id is null;
update auth.identities set id = gen_random_uuid() where id is null;
-- A user of 0.2.0 has the identity of their address, as everyone who signs up now.
insert into auth.identities (id, provider, provider_id, user_id, identity_data, last_sign_in_at, created_at, updated_at)
select gen_random_uuid(), 'email', u.id::text, u.id,
    jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', u.email_confirmed_at is not null,
      'phone_verified', false), u.last_sign_in_at, u.created_at, u.updated_at
  from auth.users u
  where u.email is not null and u.encrypted_password <> '' and not u.is_sso_user and u.deleted_at is null
    and not exists (select from auth.identities i where i.user_id = u.id);
