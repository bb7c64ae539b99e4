-- What a class of users may say: each field as Kubernetes takes it, and nothing that opens the node or names the
-- controller's own labels. What is wrong is named by its field.

create function private.is_dns_name(value text) returns boolean
language sql immutable parallel safe set search_path = ''
return length(value) <= 253 and value ~ '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
create function private.is_label_key(value text) returns boolean
language sql immutable parallel safe set search_path = ''
return length(value) <= 317 and regexp_replace(value, '^.*/', '') ~ '^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'
  and (value !~ '/' or private.is_dns_name(regexp_replace(value, '/[^/]*$', '')));
create function private.is_label_value(value text) returns boolean
language sql immutable parallel safe set search_path = ''
return value ~ '^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$';

-- What is wrong with labels, annotations or a node selector. taken: keys that the controller itself writes.
create function private.label_problems(labels jsonb, field text, any_value boolean, taken text) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if (select count(*) > 50 from jsonb_object_keys(labels)) then
    return jsonb_build_object(field, 'Must have at most 50 keys');
  end if;
  return (select coalesce(jsonb_object_agg(left(format('%s.%s', field, k), 400), problem), '{}') from (
    select k, case
      when not private.is_label_key(k) then 'The key must be a Kubernetes label key, such as team or example.com/team'
      when k ~ taken then 'Is set by the controller; choose another key'
      when jsonb_typeof(v) <> 'string' then 'Must be a string; put numbers and true in quotes'
      when not any_value and not private.is_label_value(v #>> '{}')
        then 'Must be at most 63 letters, digits, - _ . and begin and end with a letter or digit' end as problem
    from jsonb_each(labels) as x (k, v)) y where problem is not null);
end
$$;

-- Annotations by which Kubernetes takes a pod's security, origin or place: those are other
-- fields', or no class's at all.
create function private.read_annotation_problems(annotations jsonb) returns jsonb
language sql immutable set search_path = ''
return (select coalesce(jsonb_object_agg(left('annotations.' || k, 400),
  'Kubernetes reads this one; choose another key'), '{}')
  from jsonb_object_keys(annotations) k
  where k ~ '^((container\.)?(apparmor|seccomp)\.security\.(alpha|beta)\.kubernetes\.io/|'
    'security\.alpha\.kubernetes\.io/|scheduler\.alpha\.kubernetes\.io/)'
    or k ~ '^(kubernetes\.io/config\.|controller\.kubernetes\.io/pod-deletion-cost$)');

create function private.toleration_problems(tolerations jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '{}';
  at text;
  t jsonb;
  here jsonb;
begin
  if jsonb_array_length(tolerations) > 20 then
    return '{"tolerations": "Must have at most 20 entries"}';
  end if;
  for at, t in select format('tolerations[%s]', n - 1), v from jsonb_array_elements(tolerations)
    with ordinality x (v, n) loop
    here := private.shape_problems(t, '{"key": "string", "operator": "string", "value": "string", "effect": "string",
      "tolerationSeconds": "integer"}', at || '.');
    if here = '{}' then
      here := private.problem_if(t ->> 'key' <> '' and not private.is_label_key(t ->> 'key'), at || '.key',
        'Must be a label key')
        || private.problem_if(coalesce(t ->> 'operator', 'Equal') not in ('Equal', 'Exists'), at || '.operator',
          'Must be Equal or Exists')
        || private.problem_if(coalesce(t ->> 'key', '') = ''
          and t ->> 'operator' is distinct from 'Exists', at || '.key',
          'Required, unless operator is Exists')
        || private.problem_if(not private.is_label_value(t ->> 'value'), at || '.value', 'Must be a label value')
        || private.problem_if(t ->> 'operator' = 'Exists' and t ->> 'value' <> '', at || '.value',
          'Must be left out where operator is Exists')
        || private.problem_if(coalesce(t ->> 'effect', '') not in ('', 'NoSchedule', 'PreferNoSchedule', 'NoExecute'),
          at || '.effect',
          'Must be NoSchedule, PreferNoSchedule or NoExecute')
        || private.problem_if(t ->> 'tolerationSeconds' is not null and t ->> 'effect' is distinct from 'NoExecute', at
          || '.tolerationSeconds',
          'Needs effect NoExecute');
    end if;
    problems := problems || here;
  end loop;
  return problems;
end
$$;

-- Of match expressions. operators: those that are allowed here.
create function private.expression_problems(expressions jsonb, at text, operators text[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '{}';
  field text;
  e jsonb;
  here jsonb;
  listed integer;
begin
  for field, e in select format('%s[%s]', at, n - 1), v
    from jsonb_array_elements(coalesce(nullif(expressions, 'null'), '[]')) with ordinality x (v, n)
  loop
    here := private.shape_problems(e, '{"key": "string!", "operator": "string!", "values": "strings"}', field || '.');
    if here = '{}' then
      listed := coalesce(jsonb_array_length(nullif(e -> 'values', 'null')), 0);
      here := private.problem_if(not private.is_label_key(e ->> 'key'), field || '.key', 'Must be a label key')
        || private.problem_if(e ->> 'operator' <> all (operators), field || '.operator', 'Must be one of: '
          || array_to_string(operators, ', '))
        || private.problem_if(case when e ->> 'operator' in ('In', 'NotIn') then listed not between 1 and 100
            when e ->> 'operator' in ('Gt', 'Lt') then listed <> 1 or e #>> '{values,0}' !~ '^[0-9]{1,18}$'
              else listed > 0 end,
          field || '.values', 'Must be 1 to 100 values for In and NotIn, one whole number from 0 for Gt and Lt, none '
            'for Exists and DoesNotExist')
        || private.problem_if(exists (select from jsonb_array_elements_text(nullif(e -> 'values', 'null')) v
            where not private.is_label_value(v)) and e ->> 'operator' not in ('Gt', 'Lt'), field || '.values',
              'Must be label values');
    end if;
    problems := problems || here;
  end loop;
  return problems;
end
$$;

-- Of match fields: Kubernetes knows a node by its name alone.
create function private.node_field_problems(fields jsonb, at text) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := '{}';
  field text;
  f jsonb;
  here jsonb;
begin
  for field, f in select format('%s[%s]', at, n - 1), v
    from jsonb_array_elements(coalesce(nullif(fields, 'null'), '[]')) with ordinality x (v, n)
  loop
    here := private.shape_problems(f, '{"key": "string!", "operator": "string!", "values": "strings!"}', field || '.');
    if here = '{}' then
      here := private.problem_if(f ->> 'key' <> 'metadata.name', field || '.key', 'Must be metadata.name')
        || private.problem_if(f ->> 'operator' not in ('In', 'NotIn'), field || '.operator', 'Must be In or NotIn')
        || private.problem_if(jsonb_array_length(f -> 'values') <> 1 or not private.is_dns_name(f #>> '{values,0}'),
          field || '.values',
          'Must be the name of one node; add a term for each further node');
    end if;
    problems := problems || here;
  end loop;
  return problems;
end
$$;

create function private.selector_problems(selector jsonb, at text) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb;
begin
  if coalesce(jsonb_typeof(selector), 'null') = 'null' then
    return '{}';
  end if;
  problems := private.shape_problems(selector, '{"matchLabels": "object", "matchExpressions": "array"}', at || '.');
  if problems <> '{}' then
    return problems;
  end if;
  return private.label_problems(coalesce(nullif(selector -> 'matchLabels', 'null'), '{}'),
    at || '.matchLabels', false, '^$')
    || private.expression_problems(selector -> 'matchExpressions', at || '.matchExpressions',
      '{In,NotIn,Exists,DoesNotExist}');
end
$$;

-- Of a node's term, or of a pod's: which is told by `of_pods`.
create function private.affinity_term_problems(term jsonb, at text, of_pods boolean) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb;
begin
  if of_pods then
    problems := private.shape_problems(term,
      '{"labelSelector": "object", "topologyKey": "string!", "namespaces": "strings",
      "namespaceSelector": "object", "matchLabelKeys": "strings", "mismatchLabelKeys": "strings"}', at || '.');
    if problems <> '{}' then
      return problems;
    end if;
    select problems || coalesce(jsonb_object_agg(at || '.' || field, problem), '{}') into problems from (
      select field, case when term ->> 'labelSelector' is null then 'Needs a labelSelector'
        else 'Must be label keys' end as problem
      from unnest('{matchLabelKeys,mismatchLabelKeys}'::text[]) field
      where jsonb_array_length(nullif(term -> field, 'null')) > 0 and (term ->> 'labelSelector' is null
        or exists (select from jsonb_array_elements_text(term -> field) k where not private.is_label_key(k)))) wrong;
    return problems
      || private.problem_if(exists (select from jsonb_array_elements_text(nullif(term -> 'matchLabelKeys', 'null')) k
        where term -> 'mismatchLabelKeys' ? k), at || '.matchLabelKeys', 'Must not be in mismatchLabelKeys too')
      || private.problem_if(exists (select from jsonb_array_elements_text(nullif(term -> 'namespaces', 'null')) n
        where n !~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'), at || '.namespaces', 'Must be names of namespaces')
      || private.problem_if(not private.is_label_key(term ->> 'topologyKey'), at || '.topologyKey',
        'Must be a label key')
      || private.selector_problems(term -> 'labelSelector', at || '.labelSelector')
      || private.selector_problems(term -> 'namespaceSelector', at || '.namespaceSelector');
  end if;
  problems := private.shape_problems(term, '{"matchExpressions": "array", "matchFields": "array"}', at || '.');
  if problems <> '{}' then
    return problems;
  end if;
  return private.expression_problems(term -> 'matchExpressions', at || '.matchExpressions',
    '{In,NotIn,Exists,DoesNotExist,Gt,Lt}')
    || private.node_field_problems(term -> 'matchFields', at || '.matchFields');
end
$$;

create function private.affinity_problems(affinity jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  required constant text := 'requiredDuringSchedulingIgnoredDuringExecution';
  preferred constant text := 'preferredDuringSchedulingIgnoredDuringExecution';
  problems jsonb := private.shape_problems(affinity,
    '{"nodeAffinity": "object", "podAffinity": "object", "podAntiAffinity": "object"}',
    'affinity.');
  part text;
  rules jsonb;
  of_pods boolean;
  term_name text;
  at text;
  each jsonb;
  here jsonb;
begin
  if problems <> '{}' then
    return problems;
  end if;
  for part, rules in select k, v from jsonb_each(affinity) x (k, v) where v <> 'null' loop
    of_pods := part <> 'nodeAffinity';
    term_name := case when of_pods then 'podAffinityTerm' else 'preference' end;
    part := 'affinity.' || part;
    here := private.shape_problems(rules, jsonb_build_object(preferred, 'array',
      required, case when of_pods then '"array"'::jsonb else '{"nodeSelectorTerms": "array!"}' end), part || '.');
    if here <> '{}' then
      problems := problems || here;
      continue;
    end if;
    if not of_pods and rules -> required -> 'nodeSelectorTerms' = '[]' then
      problems := problems || jsonb_build_object(part || '.' || required || '.nodeSelectorTerms',
        'Must have at least one term');
    end if;
    for at, each in select format('%s.%s[%s]', part, required, n - 1), v
      from jsonb_array_elements(coalesce(nullif(case when of_pods then rules -> required
        else rules -> required -> 'nodeSelectorTerms' end, 'null'), '[]')) with ordinality x (v, n)
    loop
      problems := problems || private.affinity_term_problems(each, at, of_pods);
    end loop;
    for at, each in select format('%s.%s[%s]', part, preferred, n - 1), v
      from jsonb_array_elements(coalesce(nullif(rules -> preferred, 'null'), '[]')) with ordinality x (v, n)
    loop
      here := private.shape_problems(each, jsonb_build_object('weight', 'integer!', term_name, 'object!'), at || '.');
      if here = '{}' then
        here := private.problem_if((each ->> 'weight')::integer not between 1 and 100, at || '.weight',
          'Must be between 1 and 100')
          || private.affinity_term_problems(each -> term_name, at || '.' || term_name, of_pods);
      end if;
      problems := problems || here;
    end loop;
  end loop;
  return problems;
end
$$;

-- A network written as Kubernetes reads it: 10/8 is none, nor are leading zeros, nor IPv4 within IPv6.
create function private.is_network(value text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return (value ~ '^((0|[1-9][0-9]{0,2})[./]){4}(0|[1-9][0-9]?)$'
    or value ~ '^[0-9a-fA-F]*:[0-9a-fA-F:]*/(0|[1-9][0-9]{0,2})$')
    and not value::cidr <<= '::ffff:0:0/96'::cidr;
exception when others then
  return false;
end
$$;

-- A reference to an image as registries and nodes read it (the grammar of distribution/reference): a name of at most
-- 255 characters that is no bare digest, then a tag, a digest, both or neither.
create function private.is_image(value text) returns boolean
language sql immutable parallel safe set search_path = ''
return value ~ ('^(([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|'
  '\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/)?'
    || '[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*'
    || '(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[a-f0-9]{64})?$')
  and length(regexp_replace(value, '(:[A-Za-z0-9_][-A-Za-z0-9_.]*)?(@sha256:[a-f0-9]{64})?$', '')) <= 255
  and value !~ '^[a-f0-9]{64}$';

-- What is wrong with a class as a document: field → problem.
create function private.class_problems(class jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  problems jsonb := private.shape_problems(class,
    '{"description": "string", "image": "string", "runtimeClassName": "string",
    "priorityClassName": "string", "nodeSelector": "object", "tolerations": "array", "affinity": "object",
    "labels": "object", "annotations": "object", "hostUsers": "boolean",
    "egress": {"allowCidrs": "strings", "exceptCidrs": "strings", "allowPrivate": "boolean", "ports": "array"},
    "limits": {"maxAgents": "integer", "maxReplicas": "integer", "maxCpu": "quantity", "maxMemory": "quantity",
      "ephemeralStorage": "quantity"}}');
  -- What the controller selects its pods by, and Kubernetes itself.
  taken constant text := '^(agent-launchpad\.dev/|app\.kubernetes\.io/(name|instance|managed-by)$|pod-template-hash$)';
  field text;
  found text;
begin
  if problems <> '{}' then
    return problems;
  end if;
  problems := private.problem_if(octet_length(class::text) > 32768, 'class', 'Must be at most 32 KiB of JSON')
    || private.problem_if(length(class ->> 'description') > 500, 'description', 'Must be at most 500 characters')
    || private.problem_if(length(class ->> 'image') > 500 or not private.is_image(class ->> 'image'),
      'image', 'Must be an image such as registry.example.com/agent-runtime:1.2.3');
  foreach field in array '{runtimeClassName,priorityClassName}'::text[] loop
    problems := problems || private.problem_if(class ->> field <> ''
      and not private.is_dns_name(class ->> field), field,
      'Must be the name of one in the cluster, or "" for none');
  end loop;
  problems := problems || private.problem_if(class ->> 'priorityClassName' ~ '^system-', 'priorityClassName',
      'Must not be a class of the cluster''s own parts, which agents would displace; create another PriorityClass')
    || private.label_problems(coalesce(nullif(class -> 'nodeSelector', 'null'), '{}'), 'nodeSelector', false, '^$')
    || private.label_problems(coalesce(nullif(class -> 'labels', 'null'), '{}'), 'labels', false, taken)
    || private.label_problems(coalesce(nullif(class -> 'annotations', 'null'), '{}'), 'annotations', true,
      '^agent-launchpad\.dev/')
    || private.read_annotation_problems(coalesce(nullif(class -> 'annotations', 'null'), '{}'))
    || private.toleration_problems(coalesce(nullif(class -> 'tolerations', 'null'), '[]'))
    || private.affinity_problems(coalesce(nullif(class -> 'affinity', 'null'), '{}'));
  foreach field in array '{allowCidrs,exceptCidrs}'::text[] loop
    select c into found from jsonb_array_elements_text(nullif(class -> 'egress' -> field, 'null')) c
      where not private.is_network(c) limit 1;
    problems := problems || private.problem_if(found is not null, 'egress.' || field,
        format('%s is not a network; write it such as 10.0.8.0/24 or 2001:db8::/32', left(found, 100)))
      || private.problem_if(jsonb_array_length(nullif(class -> 'egress' -> field, 'null')) > 100, 'egress.' || field,
        'Must have at most 100 entries');
  end loop;
  problems := problems
    || private.problem_if(jsonb_array_length(nullif(class -> 'egress' -> 'ports', 'null')) > 50
      or exists (select from jsonb_array_elements(nullif(class -> 'egress' -> 'ports', 'null')) p
        where jsonb_typeof(p) <> 'number' or p::text !~ '^[1-9][0-9]{0,4}$' or p::text::integer > 65535),
      'egress.ports', 'Must be at most 50 whole numbers between 1 and 65535');
  foreach field in array '{maxAgents,maxReplicas}'::text[] loop
    problems := problems || private.problem_if((class -> 'limits' ->> field)::integer not between 0 and 100000,
      'limits.' || field,
      'Must be between 0 and 100000');
  end loop;
  return problems
    || private.problem_if(class -> 'limits' ->> 'maxCpu' is not null
      and coalesce(private.cpu_millicores(class -> 'limits' ->> 'maxCpu') > 10000000, true),
      'limits.maxCpu', 'Must be a quantity of at most 10000 cores, such as 500m or 4')
    || private.problem_if(class -> 'limits' ->> 'maxMemory' is not null
      and coalesce(private.memory_bytes(class -> 'limits' ->> 'maxMemory') > 1125899906842624, true),
      'limits.maxMemory', 'Must be a quantity of at most 1Pi, such as 8Gi')
    || private.problem_if(class -> 'limits' ->> 'ephemeralStorage' is not null
      and coalesce(private.memory_bytes(class -> 'limits' ->> 'ephemeralStorage') not between
        134217728 and 1099511627776, true),
      'limits.ephemeralStorage', 'Must be a quantity between 128Mi and 1Ti');
end
$$;
comment on function private.class_problems(jsonb) is 'Field → problem of a class of users.';

-- What is wrong with what a controller is set to make pods of, by the same rules: field → problem.
create function private.platform_problems(content jsonb) returns jsonb
language sql immutable set search_path = ''
return private.class_problems(jsonb_strip_nulls(
  case jsonb_typeof(content -> 'pods') when 'object' then content -> 'pods' else '{}' end
    || jsonb_build_object('image', content -> 'image')));

-- Holds for every writer, also for a statement in the SQL editor.
create function private.tg_agent_classes__check() returns trigger
language plpgsql set search_path = '' as $$
begin
  perform private.raise_problems(private.class_problems(private.class_document(new))
    || private.problem_if(coalesce(new.name !~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$', true), 'name',
      'Must be at most 63 lower-case letters, digits and dashes, such as gvisor'));
  new.updated_at := now();
  return new;
end
$$;
create trigger _100_check before insert or update on private.agent_classes
  for each row execute function private.tg_agent_classes__check();

revoke execute on all functions in schema private from public;
