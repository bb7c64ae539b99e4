-- What each user has beside auth.users: profile, granted permissions, quota. Made at sign-up.

create table public.profiles (
  user_id uuid primary key references auth.users (id) on delete cascade,
  username text,
  notification_preferences jsonb not null default '{"email": true, "real_time": true, "security_alerts": true}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint profiles_username_length check (length(username) between 1 and 100)
);
alter table public.profiles enable row level security;
grant select on public.profiles to authenticated, service_role;
create policy "users can read their profile" on public.profiles for select to authenticated
  using (user_id = (select auth.uid() limit private.one_row()));
comment on table public.profiles is 'Name and notification preferences of a user.';

-- Written by operators alone. user_metadata.permissions can only narrow what stands here.
create table public.user_permissions (
  user_id uuid not null references auth.users (id) on delete cascade,
  permission text not null,
  granted_at timestamptz not null default now(),
  constraint user_permissions_pkey primary key (user_id, permission),
  constraint user_permissions_known check (permission in
    ('agents:read', 'agents:write', 'monitoring:read', 'security:read', 'security:write', 'system:read'))
);
alter table public.user_permissions enable row level security;
grant select on public.user_permissions to authenticated;
grant select, insert, update, delete on public.user_permissions to service_role;
create policy "users can read their permissions" on public.user_permissions for select to authenticated
  using (user_id = (select auth.uid() limit private.one_row()));
comment on table public.user_permissions is 'Permissions granted to a user by an operator.';

-- max_cpu in thousandths of a core, max_memory in bytes, both summed over all wanted replicas of a user's agents.
create table public.quotas (
  user_id uuid primary key references auth.users (id) on delete cascade,
  max_agents integer not null default 50,
  max_replicas integer not null default 50,
  max_cpu integer not null default 32000,
  max_memory bigint not null default 68719476736,
  -- What operators give the agents of this user; its limits are copied into the columns above
  -- (…_agent_classes_api.sql).
  agent_class text not null default 'default',
  updated_at timestamptz not null default now(),
  constraint quotas_agent_class_fkey foreign key (agent_class) references private.agent_classes (name),
  constraint quotas_not_negative check (max_agents >= 0 and max_replicas >= 0 and max_cpu >= 0 and max_memory >= 0)
);
create index quotas_agent_class_idx on public.quotas (agent_class);
alter table public.quotas enable row level security;
grant select on public.quotas to authenticated;
grant select, insert, update, delete on public.quotas to service_role;
create policy "users can read their quota" on public.quotas for select to authenticated
  using (user_id = (select auth.uid() limit private.one_row()));
comment on table public.quotas is 'Upper bounds of what a user may run; operators write them.';

-- user_metadata.permissions tells what is granted too: Auth's answers carry it, and its user may edit it, so it is
-- information alone. A list narrows what was granted before it, never what was granted later: permissions_as_of beside
-- it is the time of the last grant it knows, and goes along where a client keeps a copy of the
-- metadata and writes it back.

create function private.grant_time(granted_at timestamptz) returns text
language sql immutable parallel safe set search_path = ''
return to_char(granted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- Grants of a user follow each other in time as they are committed: the next waits for the lock. Definer: operators
-- have no rights on auth.users.
create function private.tg_user_permissions__stamp() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform from auth.users u where u.id = new.user_id for no key update;
  new.granted_at := clock_timestamp();
  return new;
end
$$;
create trigger _100_stamp before insert or update on public.user_permissions
  for each row execute function private.tg_user_permissions__stamp();

-- The metadata with its list brought up to the grants. What is granted is all of the list where it is none; else what
-- the list has, and what was granted after it. Other texts in a list of the user's own stay: they have no effect.
create function private.show_permissions(of_user uuid, metadata jsonb, keep_others boolean) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  list jsonb := case when jsonb_typeof(metadata -> 'permissions') = 'array' then metadata -> 'permissions' end;
  -- A list without a time is one that is being written, or, when grants change, one from
  -- before all of them (a sign-up's).
  as_of text := coalesce(metadata ->> 'permissions_as_of', case when keep_others then '~' else '' end);
  shown jsonb;
  newest text;
begin
  select coalesce(jsonb_agg(p.permission order by p.permission)
      filter (where list is null or list ? p.permission or private.grant_time(p.granted_at) > as_of collate "C"), '[]'),
      coalesce(private.grant_time(max(p.granted_at)), '')
    into shown, newest from public.user_permissions p where p.user_id = of_user;
  if keep_others and list @> shown then
    shown := list;
  elsif keep_others and list is not null then
    shown := list || (select jsonb_agg(x) from jsonb_array_elements(shown) x where not list @> x);
  end if;
  return coalesce(metadata, '{}') || jsonb_build_object('permissions', shown, 'permissions_as_of', newest);
end
$$;

-- After a change of the grants. Definer: as above.
create function private.tg_user_permissions__show() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform from auth.users u where u.id in (select c.user_id from changed c) order by u.id for no key update;
  update auth.users u set updated_at = now(), raw_user_meta_data = private.show_permissions(u.id,
    u.raw_user_meta_data, false)
    where u.id in (select c.user_id from changed c)
      and u.raw_user_meta_data is distinct from private.show_permissions(u.id, u.raw_user_meta_data, false);
  return null;
end
$$;
create trigger _500_show_granted after insert on public.user_permissions referencing new table as changed
  for each statement execute function private.tg_user_permissions__show();
create trigger _500_show_changed after update on public.user_permissions referencing new table as changed
  for each statement execute function private.tg_user_permissions__show();
create trigger _500_show_revoked after delete on public.user_permissions referencing old table as changed
  for each statement execute function private.tg_user_permissions__show();

-- After a change of the metadata: cleared, narrowed, or written over with an older copy.
-- Definer: Auth's role has no rights here.
create function private.tg_users__show_permissions() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.raw_user_meta_data := private.show_permissions(new.id, new.raw_user_meta_data, true);
  return new;
end
$$;
create trigger _400_launchpad_show_permissions before update of raw_user_meta_data on auth.users
  for each row execute function private.tg_users__show_permissions();

create function private.provision_user(user_id uuid) returns void
language plpgsql volatile set search_path = '' as $$
begin
  insert into public.profiles (user_id) values (provision_user.user_id) on conflict do nothing;
  insert into public.quotas (user_id, max_agents, max_replicas, max_cpu, max_memory)
    select provision_user.user_id, c.max_agents, c.max_replicas, c.max_cpu, c.max_memory
    from private.agent_classes c where c.name = 'default'
    on conflict do nothing;
  insert into public.user_permissions (user_id, permission)
    select provision_user.user_id, p from unnest(array['agents:read', 'agents:write', 'monitoring:read']) as p
    on conflict do nothing;
end
$$;
comment on function private.provision_user(uuid) is 'Gives a new user a profile, a quota and the default permissions.';

-- Definer: auth's own role inserts the user and has no rights here.
create function private.tg_users__provision() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.provision_user(new.id);
  return null;
end
$$;
create trigger _500_launchpad_provision after insert on auth.users
  for each row execute function private.tg_users__provision();

select private.provision_user(id) from auth.users;

-- What an account may do at all: 'active'; 'banned' while Auth's banned_until lies ahead; 'deleted' once Auth's soft
-- deletion has marked it; 'absent' where no such account exists. Every door asks this one function, directly or through
-- private.effective_permissions, which gives nothing to an account that is not active.
create view private.accounts as
  select u.id, u.email, u.raw_user_meta_data, u.banned_until,
    case when u.deleted_at is not null then 'deleted' when u.banned_until > now() then 'banned' else 'active' end
      as state
  from auth.users u;
comment on view private.accounts is 'Accounts and what they may do at all: active, banned or deleted.';

create function private.account_state(of_user uuid) returns text
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select a.state from private.accounts a where a.id = of_user), 'absent');
end
$$;
comment on function private.account_state(uuid) is
  'active, banned, deleted or absent: what every door asks about an account.';

create function private.is_active_user(of_user uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return private.account_state(of_user) = 'active';
end
$$;
comment on function private.is_active_user(uuid) is 'Whether an account exists and is neither banned nor deleted.';

-- The refusal of an account that is not active, as {code, message, details}; null for one that is. A banned one learns
-- until when; deleted and absent ones get the answer of a token that was never good.
create function private.account_refusal(state text, banned_until timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return case state when 'active' then null
    when 'banned' then jsonb_build_object('code', 'PERMISSION_DENIED',
      'message', 'This account is banned. Ask the operator of this project to lift the ban',
      'details', jsonb_strip_nulls(jsonb_build_object('account', 'banned',
        'banned_until', case when isfinite(banned_until) then private.iso(banned_until) end)))
    else jsonb_build_object('code', 'INVALID_JWT_TOKEN',
      'message', 'Supabase JWT token is missing, invalid or expired', 'details', null) end;
end
$$;
create function private.account_refusal(of_user uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  state text := private.account_state(of_user);
begin
  return private.account_refusal(state, case state when 'banned' then
    (select u.banned_until from auth.users u where u.id = of_user) end);
end
$$;

-- Raises the refusal of an account that is not active.
create function private.require_active(of_user uuid) returns void
language plpgsql stable set search_path = '' as $$
declare
  refusal jsonb := private.account_refusal(of_user);
begin
  if refusal is not null then
    perform private.raise_error(refusal ->> 'code', refusal ->> 'message', nullif(refusal -> 'details', 'null'));
  end if;
end
$$;
comment on function private.require_active(uuid) is 'Raises unless the account is active.';

-- The permissions in force: granted ones, narrowed by user_metadata.permissions where the user set that to an array.
-- None for an account that is not active.
create function private.effective_permissions(of_user uuid) returns text[]
language plpgsql stable set search_path = '' as $$
begin
  return (
  select coalesce(array_agg(p.permission order by p.permission), '{}')
  from public.user_permissions p
  join auth.users u on u.id = p.user_id
  where p.user_id = of_user and u.deleted_at is null and (u.banned_until is null or u.banned_until <= now())
    and (jsonb_typeof(u.raw_user_meta_data -> 'permissions') is distinct from 'array'
         or u.raw_user_meta_data -> 'permissions' ? p.permission)
);
end
$$;
comment on function private.effective_permissions(uuid) is 'Granted permissions, narrowed by the user''s own metadata.';

-- The caller, where they may read what takes `permission`; else null, which owns nothing. A policy that compares
-- user_id with it judges owner and permission in one condition: a second one beside it would halve the planner's
-- estimates and cost the index. The pre-request leaves the permissions in a setting, so that a query through PostgREST
-- needs no second look-up;
-- Realtime and GraphQL are looked up. Definer: reads permissions; tells the caller's own alone. (Only the server can
-- set the setting: no function that clients may call sets one of their choosing.) The policies put `limit
-- private.one_row()` behind it.
create function private.reader(permission text) returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  known text := current_setting('launchpad.permissions', true);
  caller uuid := (select auth.uid());
begin
  -- The user's id stands before the permissions: claims that change within a transaction get their own look-up.
  if known <> '' and split_part(known, ' ', 1) = caller::text then
    return case when permission = any (string_to_array(known, ' ')) then caller end;
  end if;
  return case when permission = any (private.effective_permissions(caller)) then caller end;
end
$$;
grant execute on function private.reader(text) to authenticated;

-- The same as a yes or no, for policies of rows that others may own.
create function private.may(permission text) returns boolean
language sql stable set search_path = ''
return private.reader(permission) is not null;
grant execute on function private.may(text) to authenticated;

-- Refuses an insert that names another owner, with the policy's own words, before a trigger looks for what that owner
-- has: the answer must be the same whatever there is. On every table into which users insert rows with a user_id; first
-- of its triggers for each row.
create function private.tg_rows__own() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.user_id := coalesce(new.user_id, auth.uid());
  if new.user_id is distinct from auth.uid() then
    raise insufficient_privilege using message = format('new row violates row-level security policy for table "%s"',
      tg_table_name);
  end if;
  return new;
end
$$;
