-- Schemas, owners and who may look into them. `net` and `cron` are made by their extensions.

do $$
begin
  execute format('alter database %I owner to postgres', current_database());
end
$$;

create schema if not exists extensions;
create schema if not exists auth;
create schema if not exists storage;
create schema if not exists realtime;
create schema if not exists vault;
create schema if not exists supabase_migrations authorization postgres;

-- Usage only: nothing new in public is readable by an API role until a migration grants it (hosted since 2026-10-30).
grant usage on schema public to postgres, anon, authenticated, service_role;
grant usage, create on schema extensions to postgres;
grant usage on schema extensions to anon, authenticated, service_role, dashboard_user, supabase_realtime_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role, dashboard_user,
  supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin;
grant usage on schema storage to postgres with grant option;
grant usage on schema storage to anon, authenticated, service_role, dashboard_user, supabase_storage_admin;
grant usage on schema realtime to postgres with grant option;
grant usage on schema realtime to anon, authenticated, service_role, supabase_realtime_admin;

create extension if not exists pgcrypto with schema extensions;
create extension if not exists "uuid-ossp" with schema extensions;
create extension if not exists pg_stat_statements with schema extensions;
create extension if not exists supabase_vault with schema vault;

do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
  alter publication supabase_realtime owner to postgres;
end
$$;
