-- The profile of a user: GET and PUT /api/users/profile. auth.users is Auth's table; `postgres` may read and update its
-- rows on hosted too (all privileges on the tables, none to alter them), so both doors, ours
-- and PUT /auth/v1/user, end in one row.

insert into private.verbs (name, permission, status, idempotent) values
  ('get_profile', null, 200, false),
  ('update_profile', null, 200, false);

-- user_metadata.notification_preferences set through Auth counts like ours. Definer: Auth's role has no rights here.
create function private.tg_users__adopt_preferences() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.profiles p set updated_at = now(), notification_preferences = p.notification_preferences || (
      select coalesce(jsonb_object_agg(n.key, n.value), '{}')
      from jsonb_each(new.raw_user_meta_data -> 'notification_preferences') n
      where p.notification_preferences ? n.key and jsonb_typeof(n.value) = 'boolean')
    where p.user_id = new.id;
  return null;
end
$$;
create trigger _500_launchpad_adopt_preferences after update of raw_user_meta_data on auth.users
  for each row when (jsonb_typeof(new.raw_user_meta_data -> 'notification_preferences') = 'object'
    and new.raw_user_meta_data -> 'notification_preferences' is distinct from old.raw_user_meta_data
      -> 'notification_preferences')
  execute function private.tg_users__adopt_preferences();

-- What a user's files take, by the size that Storage noted.
create function private.storage_used(of_user uuid) returns numeric
language sql stable set search_path = ''
return (select coalesce(sum((o.metadata ->> 'size')::numeric), 0) from storage.objects o
        where o.owner_id = of_user::text or o.owner = of_user);

create function private.profile(of_user uuid) returns jsonb
language sql stable set search_path = ''
return (
  select jsonb_build_object(
    'user', jsonb_build_object(
      'id', u.id, 'email', u.email, 'created_at', private.iso(u.created_at),
        'last_sign_in_at', private.iso(u.last_sign_in_at),
      'app_metadata', coalesce(u.raw_app_meta_data, '{}'),
      -- The permissions in force, not the ones a user may have written there.
      'user_metadata', coalesce(u.raw_user_meta_data, '{}')
        || jsonb_build_object('permissions', to_jsonb(private.effective_permissions(u.id))),
      'role', u.role),
    'profile', jsonb_build_object(
      'username', coalesce(p.username, nullif(left(split_part(u.email, '@', 1), 100), '')),
      'notification_preferences', p.notification_preferences,
      'agent_count', (select count(*) from public.agents a where a.user_id = u.id and a.deleted_at is null),
      'storage_used', private.size_words(private.storage_used(u.id))))
  from auth.users u left join public.profiles p on p.user_id = u.id
  where u.id = of_user
);

-- GET /api/users/profile.
create function private.verb_get_profile(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin
  return private.profile(caller);
end
$$;

-- Field → problem of the body of PUT /api/users/profile.
create function private.profile_problems(caller uuid, changes jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(changes, '{"username": "string 1 100",
    "user_metadata": {"full_name": "string 200", "avatar_url": "string 2048", "permissions": "strings 100 100"},
    "notification_preferences": {"email": "boolean", "real_time": "boolean", "security_alerts": "boolean"}}');
  metadata jsonb := changes -> 'user_metadata';
begin
  if problems <> '{}' then
    return problems;
  end if;
  return private.problem_if(changes = '{}', 'body', 'Must name at least one field to change')
    || private.problem_if(metadata ->> 'avatar_url' !~ '^https?://[^\s]+$', 'user_metadata.avatar_url',
      'Must be an http or https URL')
    || private.problem_if(jsonb_typeof(metadata -> 'permissions') = 'array' and exists (
         select from jsonb_array_elements_text(metadata -> 'permissions') w
         where not exists (select from public.user_permissions p where p.user_id = caller and p.permission = w)),
         'user_metadata.permissions', 'Can only narrow what an operator granted');
end
$$;

-- PUT /api/users/profile: a field left out stays, null clears one. Answers as GET does.
create function private.verb_update_profile(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  changes jsonb := args -> 'changes';
begin
  perform private.raise_problems(private.profile_problems(caller, changes));
  if jsonb_typeof(changes -> 'user_metadata') = 'object' then
    -- One statement, so that a change by Auth at the same moment is not lost.
    update auth.users u set updated_at = now(), raw_user_meta_data =
        (coalesce(u.raw_user_meta_data, '{}') || jsonb_strip_nulls(changes -> 'user_metadata'))
        - array(select m.key from jsonb_each(changes -> 'user_metadata') m where m.value = 'null')
      where u.id = caller;
  end if;
  if jsonb_typeof(changes -> 'notification_preferences') = 'object' or changes ? 'username' then
    insert into public.profiles as p (user_id) values (caller) on conflict (user_id) do nothing;
    update public.profiles p set updated_at = now(),
        username = case when changes ? 'username' then btrim(changes ->> 'username') else p.username end,
        notification_preferences = p.notification_preferences
          || jsonb_strip_nulls(coalesce(nullif(changes -> 'notification_preferences', 'null'), '{}'))
      where p.user_id = caller;
  end if;
  return private.profile(caller);
end
$$;

create function public.get_profile() returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('get_profile', '{}'); end $$;
create function public.update_profile(changes jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('update_profile', jsonb_build_object('changes', changes)); end $$;
revoke execute on function public.get_profile(), public.update_profile(jsonb) from public, anon, service_role;
grant execute on function public.get_profile(), public.update_profile(jsonb) to authenticated;
comment on function public.get_profile() is 'The caller''s account, profile and use.';
comment on function public.update_profile(jsonb) is
  'Changes the caller''s profile by the body of PUT /api/users/profile.';
