-- @supabase/lite of release 0.2.0 wrote JSON as a text within JSON, which triggers undid; rows
-- that it left are mended once.

do $$
begin
  drop trigger if exists _000_unwrap_json on auth.users;
  drop trigger if exists _000_unwrap_json on auth.identities;
  drop function if exists extensions.unwrap_json();
  update auth.users set
    raw_app_meta_data = case jsonb_typeof(raw_app_meta_data) when 'string' then (raw_app_meta_data #>> '{}')::jsonb
      else raw_app_meta_data end,
    raw_user_meta_data = case jsonb_typeof(raw_user_meta_data) when 'string' then (raw_user_meta_data #>> '{}')::jsonb
      else raw_user_meta_data end
    where jsonb_typeof(raw_app_meta_data) = 'string' or jsonb_typeof(raw_user_meta_data) = 'string';
  update auth.identities set identity_data = (identity_data #>> '{}')::jsonb
    where jsonb_typeof(identity_data) = 'string';
end
$$;
