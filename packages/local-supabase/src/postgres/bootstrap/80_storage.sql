-- After the tables of Storage exist (lite's own migrations made them): hosted's owners, grants and delete guard.

create or replace function storage.protect_delete() returns trigger
language plpgsql as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception using
      errcode = '42501',
      message = 'Direct deletion from storage tables is not allowed. Use the Storage API instead.',
      hint = 'This prevents accidental data loss from orphaned objects.';
  end if;
  return null;
end
$$;

do $$
declare
  object record;
begin
  for object in select oid::regclass as name from pg_class where relnamespace = 'storage'::regnamespace
    and relkind = 'r' loop
    execute format('alter table %s owner to supabase_storage_admin', object.name);
    execute format('alter table %s enable row level security', object.name);
    execute format('grant all on table %s to postgres with grant option', object.name);
    execute format('grant all on table %s to anon, authenticated, service_role', object.name);
  end loop;
  for object in select oid::regprocedure as name from pg_proc where pronamespace = 'storage'::regnamespace loop
    execute format('alter function %s owner to supabase_storage_admin', object.name);
  end loop;
end
$$;

create or replace trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();
create or replace trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
