-- `postgres` inherits the ownership of the platform's tables (10_roles.sql) so that it can write policies and triggers
-- on them, as hosted's supautils allows. Everything else an owner could do is refused here with hosted's error.

create or replace function extensions.guard_platform_ddl() returns event_trigger
language plpgsql set search_path = '' as $$
declare
  command record;
begin
  if (select rolsuper or rolname like 'supabase\_%' from pg_catalog.pg_roles where rolname = current_user) then
    return;
  end if;
  -- Policies, triggers and grants carry no schema_name here and so pass.
  for command in
    select object_type, object_identity from pg_catalog.pg_event_trigger_ddl_commands()
    where schema_name in ('auth', 'storage', 'realtime') and not in_extension and command_tag <> 'COMMENT'
  loop
    raise exception 'must be owner of % %', command.object_type, command.object_identity using errcode = '42501';
  end loop;
end
$$;

create or replace function extensions.guard_platform_drop() returns event_trigger
language plpgsql set search_path = '' as $$
declare
  dropped record;
begin
  if (select rolsuper or rolname like 'supabase\_%' from pg_catalog.pg_roles where rolname = current_user) then
    return;
  end if;
  for dropped in
    select object_type, object_identity from pg_catalog.pg_event_trigger_dropped_objects()
    where schema_name in ('auth', 'storage', 'realtime') and original and object_type not in ('policy', 'trigger')
  loop
    raise exception 'must be owner of % %', dropped.object_type, dropped.object_identity using errcode = '42501';
  end loop;
end
$$;

drop event trigger if exists guard_platform_ddl;
create event trigger guard_platform_ddl on ddl_command_end execute function extensions.guard_platform_ddl();
drop event trigger if exists guard_platform_drop;
create event trigger guard_platform_drop on sql_drop execute function extensions.guard_platform_drop();
