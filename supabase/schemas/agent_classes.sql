-- Classes of users: what the pods of a user's agents get beyond what their owner chooses (a sandboxed runtime, nodes, a
-- priority, an image, networks) and the limits of such users. Operators write them (…_agent_classes_api.sql),
-- …_agent_class_checks.sql judges them; a user has one class, and reads its name alone (quotas.agent_class).
-- docs/agent-classes.md explains them.
-- A field that a class leaves null is the installation's (the chart's `agents.*`); a limit that it leaves null is that
-- of the class `default`.

create table private.agent_classes (
  name text primary key,
  description text,
  image text,
  runtime_class_name text,
  priority_class_name text,
  node_selector jsonb,
  tolerations jsonb,
  affinity jsonb,
  labels jsonb,
  annotations jsonb,
  host_users boolean,
  egress jsonb,
  -- Of a user: see public.quotas.
  max_agents integer,
  max_replicas integer,
  max_cpu integer,
  max_memory bigint,
  -- Bytes of disk that one replica may fill.
  ephemeral_storage bigint,
  updated_at timestamptz not null default now(),
  constraint agent_classes_default_has_limits check (name <> 'default'
    or (max_agents is not null and max_replicas is not null and max_cpu is not null and max_memory is not null))
);
alter table private.agent_classes enable row level security;
comment on table private.agent_classes is
  'Classes of users: what operators give the pods of their agents, and the limits of such users.';

-- Grows with each change of a class or of who has which, in the order of commits: the row is locked until then.
-- Controllers compare it with what they know.
create table private.agent_classes_version (
  only_one boolean primary key default true,
  version bigint not null default 1,
  constraint agent_classes_version_only_one check (only_one)
);
alter table private.agent_classes_version enable row level security;
comment on table private.agent_classes_version is 'A number that grows when classes of users change; one row.';
insert into private.agent_classes_version default values;

-- A class as a document: what operators write, and what controllers read.
create function private.class_document(c private.agent_classes) returns jsonb
language sql immutable set search_path = ''
return jsonb_strip_nulls(jsonb_build_object('description', c.description, 'image', c.image,
  'runtimeClassName', c.runtime_class_name,
  'priorityClassName', c.priority_class_name, 'nodeSelector', c.node_selector, 'tolerations', c.tolerations,
  'affinity', c.affinity, 'labels', c.labels, 'annotations', c.annotations, 'hostUsers', c.host_users,
    'egress', c.egress,
  'limits', nullif(jsonb_strip_nulls(jsonb_build_object('maxAgents', c.max_agents, 'maxReplicas', c.max_replicas,
    'maxCpu', c.max_cpu || 'm', 'maxMemory', private.memory_text(c.max_memory),
    'ephemeralStorage', private.memory_text(c.ephemeral_storage))), '{}')));

-- What a controller needs to know of a class.
create function private.class_for_pods(c private.agent_classes) returns jsonb
language sql immutable set search_path = ''
return (private.class_document(c) - '{description,limits}'::text[])
  || jsonb_strip_nulls(jsonb_build_object('name', c.name, 'ephemeralStorageBytes', c.ephemeral_storage));

create function private.tg_agent_classes__changed() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update private.agent_classes_version set version = version + 1 where only_one;
  return null;
end
$$;
-- Last, so that the lock on the number is short.
create trigger _900_changed after insert or update or delete on private.agent_classes
  for each row execute function private.tg_agent_classes__changed();

insert into private.agent_classes (name, description, max_agents, max_replicas, max_cpu, max_memory)
  values ('default', 'Users without another class.', 50, 50, 32000, 68719476736);
