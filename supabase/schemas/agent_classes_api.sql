-- Classes of users for operators (service_role: `launchpad fleet classes`, `launchpad fleet
-- class`) and for controllers.

-- The limits of a class, where it has them, else those of the class `default`.
create function private.class_limits(of_class text) returns table (max_agents integer, max_replicas integer,
  max_cpu integer, max_memory bigint)
language sql stable set search_path = '' as $$
  select coalesce(c.max_agents, b.max_agents), coalesce(c.max_replicas, b.max_replicas), coalesce(c.max_cpu, b.max_cpu),
    coalesce(c.max_memory, b.max_memory)
  from private.agent_classes c, private.agent_classes b where c.name = of_class and b.name = 'default'
$$;

-- A user who gets another class gets its limits, but for those that the same statement sets, and those of the user's
-- own that the class says nothing of; `default` says nothing of them, it is what others fall back to. Definer:
-- operators write quotas and have no rights on classes.
create function private.tg_quotas__class_limits() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  named private.agent_classes;
  former record;
  given record;
begin
  select * into named from private.agent_classes c where c.name = new.agent_class;
  if not found then
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body', jsonb_build_object('agent_class',
      'Must be a class that `launchpad fleet classes list` shows'));
  end if;
  if named.name = 'default' then
    named.max_agents := null;
    named.max_replicas := null;
    named.max_cpu := null;
    named.max_memory := null;
  end if;
  select * into former from private.class_limits(old.agent_class);
  select * into given from private.class_limits(new.agent_class);
  if new.max_agents = old.max_agents and (named.max_agents is not null or old.max_agents = former.max_agents) then
    new.max_agents := given.max_agents;
  end if;
  if new.max_replicas = old.max_replicas
    and (named.max_replicas is not null or old.max_replicas = former.max_replicas) then
    new.max_replicas := given.max_replicas;
  end if;
  if new.max_cpu = old.max_cpu and (named.max_cpu is not null or old.max_cpu = former.max_cpu) then
    new.max_cpu := given.max_cpu;
  end if;
  if new.max_memory = old.max_memory and (named.max_memory is not null or old.max_memory = former.max_memory) then
    new.max_memory := given.max_memory;
  end if;
  return new;
end
$$;
create trigger _500_class_limits before update of agent_class on public.quotas
  for each row when (new.agent_class is distinct from old.agent_class)
    execute function private.tg_quotas__class_limits();
create trigger _900_class_changed after update of agent_class on public.quotas
  for each row when (new.agent_class is distinct from old.agent_class)
    execute function private.tg_agent_classes__changed();
create trigger _900_class_given after insert on public.quotas
  for each row when (new.agent_class <> 'default') execute function private.tg_agent_classes__changed();

-- Users whose limits are still the class's follow it; those who were given others keep them.
create function private.tg_agent_classes__limits() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.quotas q set max_agents = x.max_agents, max_replicas = x.max_replicas, max_cpu = x.max_cpu,
      max_memory = x.max_memory, updated_at = now()
  from (
    select q.user_id,
      case when (mine or k.max_agents is null) and q.max_agents = coalesce(old.max_agents, b.max_agents)
        then coalesce(new.max_agents, b.max_agents) else q.max_agents end as max_agents,
      case when (mine or k.max_replicas is null) and q.max_replicas = coalesce(old.max_replicas, b.max_replicas)
        then coalesce(new.max_replicas, b.max_replicas) else q.max_replicas end as max_replicas,
      case when (mine or k.max_cpu is null) and q.max_cpu = coalesce(old.max_cpu, b.max_cpu)
        then coalesce(new.max_cpu, b.max_cpu) else q.max_cpu end as max_cpu,
      case when (mine or k.max_memory is null) and q.max_memory = coalesce(old.max_memory, b.max_memory)
        then coalesce(new.max_memory, b.max_memory) else q.max_memory end as max_memory
    from public.quotas q join private.agent_classes k on k.name = q.agent_class
      join private.agent_classes b on b.name = 'default', lateral (select k.name = new.name as mine) m
    where mine or new.name = 'default') x
  where x.user_id = q.user_id
    and (q.max_agents, q.max_replicas, q.max_cpu, q.max_memory)
      is distinct from (x.max_agents, x.max_replicas, x.max_cpu, x.max_memory);
  return null;
end
$$;
create trigger _500_limits after update of max_agents, max_replicas, max_cpu, max_memory on private.agent_classes
  for each row when (old.max_agents is distinct from new.max_agents
    or old.max_replicas is distinct from new.max_replicas
    or old.max_cpu is distinct from new.max_cpu or old.max_memory is distinct from new.max_memory)
  execute function private.tg_agent_classes__limits();

create function private.described_class(c private.agent_classes) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object('name', c.name, 'users', (select count(*) from public.quotas q where q.agent_class = c.name),
  'updatedAt', private.iso(c.updated_at), 'class', private.class_document(c));

-- Definer: service_role has no rights on private tables.
create function private.fleet_classes() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (select jsonb_agg(private.described_class(c) order by c.name <> 'default', c.name)
    from private.agent_classes c);
end
$$;

-- Makes the class this one, or creates it: what the document leaves out is the installation's again. The class
-- `default` keeps limits that are left out: others fall back to them. Raises VALIDATION_ERROR,
-- CONFLICT. Definer: as above.
create function private.fleet_set_class(of_name text, class jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  limits jsonb := class -> 'limits';
  made private.agent_classes;
begin
  perform private.raise_problems(private.class_problems(coalesce(class, 'null')));
  if (select count(*) >= 200 from private.agent_classes c where c.name <> of_name) then
    perform private.raise_error('CONFLICT', 'There are 200 classes, which is the most; delete one first');
  end if;
  insert into private.agent_classes as c (name, description, image, runtime_class_name, priority_class_name,
    node_selector,
      tolerations, affinity, labels, annotations, host_users, egress, max_agents, max_replicas, max_cpu, max_memory,
      ephemeral_storage)
  select of_name, class ->> 'description', class ->> 'image', class ->> 'runtimeClassName',
    class ->> 'priorityClassName',
    nullif(class -> 'nodeSelector', 'null'), nullif(class -> 'tolerations', 'null'),
      nullif(class -> 'affinity', 'null'),
    nullif(class -> 'labels', 'null'), nullif(class -> 'annotations', 'null'), (class ->> 'hostUsers')::boolean,
    nullif(class -> 'egress', 'null'), coalesce((limits ->> 'maxAgents')::integer, was.max_agents),
    coalesce((limits ->> 'maxReplicas')::integer, was.max_replicas),
    coalesce(private.cpu_millicores(limits ->> 'maxCpu'), was.max_cpu),
    coalesce(private.memory_bytes(limits ->> 'maxMemory'), was.max_memory),
      private.memory_bytes(limits ->> 'ephemeralStorage')
  from (values (true)) one left join private.agent_classes was on was.name = of_name and was.name = 'default'
  on conflict (name) do update set description = excluded.description, image = excluded.image,
    runtime_class_name = excluded.runtime_class_name, priority_class_name = excluded.priority_class_name,
    node_selector = excluded.node_selector, tolerations = excluded.tolerations, affinity = excluded.affinity,
    labels = excluded.labels, annotations = excluded.annotations, host_users = excluded.host_users,
      egress = excluded.egress,
    max_agents = excluded.max_agents, max_replicas = excluded.max_replicas, max_cpu = excluded.max_cpu,
    max_memory = excluded.max_memory, ephemeral_storage = excluded.ephemeral_storage
  returning * into made;
  perform private.note_fleet_action('set_class', jsonb_build_object('class', of_name));
  return private.described_class(made);
end
$$;

-- Raises NOT_FOUND, CONFLICT. Definer: as above.
create function private.fleet_delete_class(of_name text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  users integer;
begin
  perform private.raise_problems(private.problem_if(of_name = 'default', 'name',
    'Must be another class: users without one have this'));
  perform from private.agent_classes c where c.name = of_name for update;
  if not found then
    perform private.raise_error('NOT_FOUND', 'No such class',
      jsonb_build_object('name', 'Must be a class that fleet_classes names'));
  end if;
  select count(*) into users from public.quotas q where q.agent_class = of_name;
  if users > 0 then
    perform private.raise_error('CONFLICT',
      case users when 1 then format('1 user has the class %s; assign another class first', of_name)
      else format('%s users have the class %s; assign them another class first', users, of_name) end,
      jsonb_build_object('users', users));
  end if;
  delete from private.agent_classes c where c.name = of_name;
  perform private.note_fleet_action('delete_class', jsonb_build_object('class', of_name));
  return jsonb_build_object('deleted', of_name);
end
$$;

-- account: a user's id or e-mail address. Raises NOT_FOUND. Definer: as above, and reads auth.users.
create function private.fleet_assign_class(account text, of_class text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  of_user uuid;
  former text;
begin
  if account ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
    of_user := account::uuid;
  else
    of_user := private.account_of(account);
  end if;
  select q.agent_class into former from public.quotas q where q.user_id = of_user for update;
  if not found then
    perform private.raise_error('NOT_FOUND', 'No such user', jsonb_build_object('account',
      'Must be the id or the e-mail address of a user'));
  end if;
  perform from private.agent_classes c where c.name = of_class;
  if not found then
    perform private.raise_error('NOT_FOUND', 'No such class',
      jsonb_build_object('class', 'Must be a class that fleet_classes names'));
  end if;
  if former <> of_class then
    update public.quotas q set agent_class = of_class, updated_at = now() where q.user_id = of_user;
    perform private.note_fleet_action('assign_class', jsonb_build_object('user', of_user, 'class', of_class,
      'former', former));
  end if;
  return jsonb_build_object('userId', of_user, 'class', of_class, 'former', former);
end
$$;

-- All classes, and which users of agents have another than `default`: what a controller reads
-- when their version has changed.
-- Definer: as above.
create function private.controller_classes() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('version', (select v.version from private.agent_classes_version v),
    'classes', (select jsonb_object_agg(c.name, private.class_for_pods(c)) from private.agent_classes c),
    'users', (select coalesce(jsonb_object_agg(q.user_id, q.agent_class), '{}') from public.quotas q
      where q.agent_class <> 'default' and exists (select from private.agent_deployments d
        where d.user_id = q.user_id and d.removed_at is null)));
end
$$;
grant execute on function private.fleet_classes(), private.fleet_set_class(text, jsonb),
  private.fleet_delete_class(text),
  private.fleet_assign_class(text, text), private.controller_classes() to service_role;

create function public.fleet_classes() returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.fleet_classes(); end $$;
create function public.fleet_set_class(name text, class jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_set_class(name, class); end $$;
create function public.fleet_delete_class(name text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_delete_class(name); end $$;
create function public.fleet_assign_class(account text, class text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fleet_assign_class(account, class); end $$;
create function public.controller_classes() returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.controller_classes(); end $$;
revoke execute on function public.fleet_classes(), public.fleet_set_class(text, jsonb), public.fleet_delete_class(text),
  public.fleet_assign_class(text, text), public.controller_classes() from public, anon, authenticated;
grant execute on function public.fleet_classes(), public.fleet_set_class(text, jsonb), public.fleet_delete_class(text),
  public.fleet_assign_class(text, text), public.controller_classes() to service_role;
comment on function public.fleet_classes() is 'Operators: the classes of users, and how many users have each.';
comment on function public.fleet_set_class(text, jsonb) is 'Operators: creates or replaces a class of users.';
comment on function public.fleet_delete_class(text) is 'Operators: deletes a class that no user has.';
comment on function public.fleet_assign_class(text, text) is
  'Operators: gives a user, named by id or e-mail address, a class.';
comment on function public.controller_classes() is 'Controller: the classes of users, and who has which.';

revoke execute on all functions in schema private from public;
