-- Roles as on hosted Supabase. The server's superuser is supabase_admin; `postgres`, which pushes migrations, is not
-- one.
-- Passwords are set apart from this file (see credentials.ts): each data folder has its own.

do $$
declare
  wanted text;
begin
  foreach wanted in array array[
    'anon', 'authenticated', 'service_role', 'authenticator', 'postgres', 'dashboard_user',
    'supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin', 'supabase_functions_admin',
    'supabase_read_only_user', 'supabase_lite'
  ] loop
    if not exists (select from pg_roles where rolname = wanted) then
      execute format('create role %I', wanted);
    end if;
  end loop;
end
$$;

-- The roles a request runs as.
alter role anon nologin;
alter role authenticated nologin;
alter role service_role nologin bypassrls;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';

-- PostgREST logs in as authenticator, has nothing of its own, and switches to the role of the token.
alter role authenticator login noinherit;
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
grant anon, authenticated, service_role to authenticator;

alter role postgres login createdb createrole replication bypassrls nosuperuser;
alter role postgres set search_path = "$user", public, extensions;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend, pg_create_subscription to postgres with admin option;

alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role dashboard_user nologin createdb createrole replication;
alter role supabase_read_only_user nologin bypassrls;
grant pg_read_all_data to supabase_read_only_user;

-- Owners of the platform's tables. They need no CREATE here: the bootstrap makes their tables.
alter role supabase_auth_admin nologin noinherit;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role supabase_storage_admin nologin noinherit;
alter role supabase_storage_admin set search_path = storage;
alter role supabase_realtime_admin login noinherit replication;
alter role supabase_realtime_admin set search_path = public, extensions, realtime;
alter role supabase_functions_admin nologin noinherit;
grant anon, authenticated, service_role to supabase_realtime_admin;

-- Auth and Storage are one process here, so they share a login, under the name that it has had since release 0.2.0:
-- it owns what the two own, and may become an API role but has none of their rights otherwise.
alter role supabase_lite login inherit nosuperuser nocreatedb nocreaterole nobypassrls;
grant supabase_auth_admin, supabase_storage_admin to supabase_lite with inherit true, set false;
grant anon, authenticated, service_role to supabase_lite with inherit false, set true;
-- Storage's own deletes pass the guard that stops `delete from storage.objects` (80_storage.sql).
alter role supabase_lite set storage.allow_delete_query = 'true';

-- Hosted lets `postgres` write policies and triggers on the tables of these owners through supautils, which is C code.
-- Here it inherits their ownership, and 90_guard.sql takes back everything except policies and triggers.
grant supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin to postgres with inherit true, set false;

-- Settings that hosted lets `postgres` change although they are a superuser's: PostgREST's, and a few of the server's.
do $$
declare
  parameter text;
begin
  foreach parameter in array array[
    'pgrst.db_schemas', 'pgrst.db_max_rows', 'pgrst.db_pre_request', 'pgrst.db_extra_search_path', 'pgrst.db_anon_role',
    'pgrst.db_aggregates_enabled', 'pgrst.db_plan_enabled', 'pgrst.db_tx_end', 'pgrst.openapi_mode',
      'pgrst.server_timing_enabled',
    'session_replication_role', 'log_min_duration_statement', 'log_min_messages', 'log_statement', 'log_lock_waits',
    'deadlock_timeout', 'track_io_timing', 'pg_stat_statements.track', 'safeupdate.enabled'
  ] loop
    execute format('grant set on parameter %s to postgres', parameter);
  end loop;
end
$$;

-- What a statement of a user fails on repeats their words (a value, a name of a column). The answer tells the user; the
-- log, which outlives their account, is not told. What fails on Postgres' own account is logged all the same.
alter role authenticator set log_min_messages = 'log';
alter role supabase_lite set log_min_messages = 'log';
alter role supabase_realtime_admin set log_min_messages = 'log';
