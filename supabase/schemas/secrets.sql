-- Secrets of agents: names here, values in Vault. Only agent_environment (service_role, by lease) reads a value.

-- No foreign key to agents: a secret may be stored just before its agent's row; teardown removes them together.
create table public.agent_secrets (
  agent_id text not null,
  name text not null,
  user_id uuid not null references auth.users (id) on delete cascade,
  version integer not null default 1,
  vault_id uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint agent_secrets_pkey primary key (agent_id, name)
);
alter table public.agent_secrets enable row level security;
create index agent_secrets_user_id_idx on public.agent_secrets (user_id);
grant select (agent_id, name, version, created_at, updated_at) on public.agent_secrets to authenticated;
grant select on public.agent_secrets to service_role;
create policy "owners can read the names of their secrets" on public.agent_secrets for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
create policy "secrets are stored through the API alone" on public.agent_secrets for insert to authenticated
  with check (false);
create policy "secrets are changed through the API alone" on public.agent_secrets for update to authenticated
  using (false) with check (false);
create policy "secrets are removed through the API alone" on public.agent_secrets for delete to authenticated
  using (false);
comment on table public.agent_secrets is 'Names and versions of an agent''s secrets; the values are in Vault.';

-- Stores one secret; returns whether it changed. The version grows only when the value differs, and a secret that was
-- removed comes back with a version that no revision had: else its new value would look like
-- the old one to the controller.
create function private.store_secret(of_agent text, of_user uuid, secret_name text, value text) returns boolean
language plpgsql volatile set search_path = '' as $$
declare
  known public.agent_secrets;
begin
  select * into known from public.agent_secrets s where s.agent_id = of_agent and s.name = secret_name for update;
  if not found then
    insert into public.agent_secrets (agent_id, name, user_id, version, vault_id)
      values (of_agent, secret_name, of_user,
        1 + coalesce((select max((r.spec -> 'secretVersions' ->> secret_name)::integer)
                      from public.agent_revisions r where r.agent_id = of_agent), 0),
        vault.create_secret(value, 'agent/' || of_agent || '/' || secret_name));
    return true;
  elsif (select v.decrypted_secret from vault.decrypted_secrets v where v.id = known.vault_id) is distinct from value
    then
    perform vault.update_secret(known.vault_id, value);
    update public.agent_secrets s set version = s.version + 1, updated_at = now()
      where s.agent_id = of_agent and s.name = secret_name;
    return true;
  end if;
  return false;
end
$$;

create function private.remove_secret(of_agent text, secret_name text) returns boolean
language plpgsql volatile set search_path = '' as $$
begin
  delete from public.agent_secrets s where s.agent_id = of_agent and s.name = secret_name;
  return found;
end
$$;

-- Whatever removes the name removes the value. Definer: auth's role deletes accounts and has no rights in Vault.
create function private.tg_agent_secrets__forget() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from vault.secrets v where v.id = old.vault_id;
  return null;
end
$$;
create trigger _500_forget after delete on public.agent_secrets
  for each row execute function private.tg_agent_secrets__forget();

-- Why a value cannot be the secret: a key, token or password that was copied in its shortened form ('sk-…', 'sk-...');
-- null when nothing shows.
create function private.secret_problem(secret_name text, value text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if upper(secret_name) ~ '(^|_)(KEY|TOKEN|SECRET)$'
    and value ~ '^\s*([^\s…]*…[^\s…]*|[A-Za-z]{0,6}[-_]?\.{3})\s*$' then
    return 'Looks shortened: it has an ellipsis. Give the whole value';
  end if;
  return null;
end
$$;

-- What is wrong with an `environment` object: field → problem. Values are never repeated in a problem.
create function private.environment_problems(environment jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '{}';
  entry record;
begin
  if jsonb_typeof(environment) <> 'object' then
    return '{"environment": "Must be an object"}';
  end if;
  if (select count(*) from jsonb_object_keys(environment)) > 100 then
    return '{"environment": "Must have at most 100 entries"}';
  end if;
  for entry in select * from jsonb_each(environment) loop
    if entry.key !~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$' then
      problems := problems || jsonb_build_object('environment.' || left(entry.key, 100),
        'Name must be letters, digits and underscores, not beginning with a digit');
    elsif jsonb_typeof(entry.value) not in ('string', 'null') then
      problems := problems || jsonb_build_object('environment.' || entry.key, 'Must be text');
    elsif octet_length(entry.value #>> '{}') > 32768 then
      problems := problems || jsonb_build_object('environment.' || entry.key, 'Must be at most 32 KiB');
    elsif entry.key ~ '^(AGENT_|LAUNCHPAD_|NODE_|LD_|DYLD_)'
      or entry.key in ('PORT', 'HOST', 'PATH', 'HOME', 'TMPDIR') then
      problems := problems || jsonb_build_object('environment.' || entry.key, 'Name is reserved');
    elsif private.secret_problem(entry.key, entry.value #>> '{}') is not null then
      problems := problems || jsonb_build_object('environment.' || entry.key,
        private.secret_problem(entry.key, entry.value #>> '{}'));
    end if;
  end loop;
  return problems;
end
$$;

-- The most bytes that all secrets of an agent may have, names and values: on Kubernetes they are one Secret, which
-- holds 1 MiB and the operator's own keys too.
create function private.most_secret_bytes() returns integer
language sql immutable set search_path = ''
return 524288;

-- What is wrong with the secrets that an agent has after a change. Definer's callers alone: it reads Vault.
create function private.secrets_problems(of_agent text) returns jsonb
language sql stable set search_path = '' as $$
  select private.problem_if(count(*) > 100, 'environment', 'An agent has at most 100 secrets')
    || private.problem_if(coalesce(sum(octet_length(s.name) + octet_length(v.decrypted_secret)),
      0) > private.most_secret_bytes(),
      'environment', format('All secrets of an agent have at most %s KiB together', private.most_secret_bytes() / 1024))
  from public.agent_secrets s join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = of_agent
$$;

-- Applies an `environment` object: strings are stored, nulls removed. Returns the names that changed. Raises
-- VALIDATION_ERROR when it leaves too many or too large secrets.
create function private.apply_environment(of_agent text, of_user uuid, environment jsonb) returns text[]
language plpgsql volatile set search_path = '' as $$
declare
  entry record;
  changed text[] := '{}';
begin
  if environment = '{}' then
    return changed;
  end if;
  -- Removals first: what replaces them may take their room.
  for entry in select * from jsonb_each(environment) order by value <> 'null', key loop
    if (case when entry.value = 'null' then private.remove_secret(of_agent, entry.key)
             else private.store_secret(of_agent, of_user, entry.key, entry.value #>> '{}') end) then
      changed := changed || entry.key;
    end if;
  end loop;
  if changed <> '{}' then
    perform private.raise_problems(private.secrets_problems(of_agent));
  end if;
  return changed;
end
$$;
