-- @supabase/lite writes JSON columns as text within JSON ("{\"a\":1}" for {"a":1}) and reads both. Hosted's Auth and
-- Storage write objects, and SQL of ours and of users looks into them (permissions in user_metadata, sizes of files):
-- they are unwrapped.

create or replace function extensions.unwrap_json() returns trigger
language plpgsql set search_path = '' as $$
declare
  name text;
  value jsonb;
begin
  foreach name in array tg_argv loop
    value := to_jsonb(new) -> name;
    if jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^\s*\{' then
      new := jsonb_populate_record(new, jsonb_build_object(name, (value #>> '{}')::jsonb));
    end if;
  end loop;
  return new;
end
$$;

create or replace trigger _000_unwrap_json before insert or update of raw_app_meta_data, raw_user_meta_data
  on auth.users
  for each row when (jsonb_typeof(new.raw_app_meta_data) = 'string' or jsonb_typeof(new.raw_user_meta_data) = 'string')
  execute function extensions.unwrap_json('raw_app_meta_data', 'raw_user_meta_data');
create or replace trigger _000_unwrap_json before insert or update of identity_data on auth.identities
  for each row when (jsonb_typeof(new.identity_data) = 'string') execute function extensions.unwrap_json(
    'identity_data');

-- What an earlier bootstrap left.
update auth.users set raw_app_meta_data = raw_app_meta_data, raw_user_meta_data = raw_user_meta_data
  where jsonb_typeof(raw_app_meta_data) = 'string' or jsonb_typeof(raw_user_meta_data) = 'string';
update auth.identities set identity_data = identity_data where jsonb_typeof(identity_data) = 'string';
