-- Knowledge, search by meaning: a vector for each chunk, beside its words. Off until an operator names an embedding
-- model (set_embedding_model), which needs the extension `vector`. The function `knowledge` makes the vectors of files
-- that are indexed already, so that a provider that is down delays no answer: what has no vector is found by its words.
-- No table names a type of the extension: the schema is the same on projects without it (docs/adr/0208).

-- The embedding model of the installation; no row: vectors are neither made nor asked for.
create table private.embedding_model (
  only_one boolean primary key default true,
  framework text not null,
  model text not null,
  constraint embedding_model_only_one check (only_one),
  constraint embedding_model_framework_known check (framework in ('openai', 'google')),
  constraint embedding_model_model_bounded check (octet_length(model) between 1 and 200)
);
alter table private.embedding_model enable row level security;
comment on table private.embedding_model is
  'The model by which knowledge is found by meaning; without a row it is found by words alone.';

-- The signs of a vector, one bit a dimension: a coarse distance that reads 200 bytes of a chunk instead of 6 KB.
create function private.signs(embedding real[]) returns varbit
language sql immutable parallel safe set search_path = ''
return (select string_agg(case when x > 0 then '1' else '0' end, '' order by n) from unnest(embedding)
  with ordinality t (x, n))::varbit;

-- Vectors of chunks. Sole writers: the functions below. A changed text is a new file.
create table private.knowledge_vectors (
  file_id uuid not null references public.knowledge_files (id) on delete cascade,
  place integer not null,
  agent_id text not null,
  -- framework/model: vectors of two models cannot be compared.
  model text not null,
  embedding real[] not null,
  signs varbit not null,
  constraint knowledge_vectors_pkey primary key (file_id, place),
  constraint knowledge_vectors_agent_id_bounded check (octet_length(agent_id) <= 63),
  constraint knowledge_vectors_model_bounded check (octet_length(model) <= 220),
  constraint knowledge_vectors_dimensions check (cardinality(embedding) between 1 and 4096)
);
-- Numbers like these cannot be compressed.
alter table private.knowledge_vectors alter column embedding set storage external;
alter table private.knowledge_vectors enable row level security;
create index knowledge_vectors_agent_id_idx on private.knowledge_vectors (agent_id, model);
comment on table private.knowledge_vectors is
  'Vectors of the pieces of texts that agents answer from, made by the embedding model.';

-- Files whose chunks lack vectors of the model, and who is at work on each.
create table private.embedding_jobs (
  file_id uuid primary key references public.knowledge_files (id) on delete cascade,
  -- Failures since the last success.
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  lease_expires_at timestamptz,
  last_error text,
  constraint embedding_jobs_last_error_bounded check (octet_length(last_error) <= 2000)
);
alter table private.embedding_jobs enable row level security;
create index embedding_jobs_next_attempt_at_idx on private.embedding_jobs (next_attempt_at);
comment on table private.embedding_jobs is
  'Knowledge files whose vectors are to be made, and until when a worker has each.';

-- How many vectors were made of a user's texts, and of questions to their agents, on the last day that had any: the
-- installation pays for each, however often a text is uploaded again.
create table private.embedding_use (
  user_id uuid primary key references auth.users (id) on delete cascade,
  day date not null,
  vectors integer not null,
  constraint embedding_use_not_negative check (vectors >= 0)
);
alter table private.embedding_use enable row level security;
comment on table private.embedding_use is
  'Vectors made of each user''s texts and questions today: at most three times quotas.max_knowledge_chunks.';

-- Counts vectors that were made for a user. Locks the user's row until the caller's transaction ends.
create function private.count_vectors(of_user uuid, made integer) returns void
language plpgsql volatile set search_path = '' as $$
begin
  insert into private.embedding_use as u (user_id, day, vectors) values (of_user, current_date, made)
    on conflict (user_id) do update set day = excluded.day,
      vectors = excluded.vectors + case when u.day = excluded.day then u.vectors else 0 end;
end
$$;

-- Whether a user had their share of a day.
create function private.had_vectors(of_user uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (select from private.embedding_use u join public.quotas q on q.user_id = u.user_id
    where u.user_id = of_user and u.day = current_date and u.vectors >= 3 * q.max_knowledge_chunks::bigint);
end
$$;

-- The schema of pgvector, null where the project does not have it (0.5 or newer casts real[]; every version here does).
create function private.vector_schema() returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select n.nspname from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector');
end
$$;

-- The model that vectors are made by, as knowledge_vectors.model has it; null where there are none to be made.
create function private.embeds_by() returns text
language plpgsql stable set search_path = '' as $$
begin
  return (select m.framework || '/' || m.model from private.embedding_model m
    where private.vector_schema() is not null);
end
$$;

-- Queues a file's vectors, where they are wanted.
create function private.queue_embedding(of_file uuid) returns void
language plpgsql volatile set search_path = '' as $$
begin
  if private.embeds_by() is not null then
    insert into private.embedding_jobs (file_id) values (of_file) on conflict do nothing;
  end if;
end
$$;

-- Queues every file that lacks vectors of the model; returns how many wait. Also daily: a file
-- is indexed while the setting changes.
create function private.queue_embeddings() returns integer
language plpgsql volatile set search_path = '' as $$
declare
  by_model constant text := private.embeds_by();
begin
  insert into private.embedding_jobs (file_id)
    select f.id from public.knowledge_files f
    where f.status = 'indexed' and by_model is not null
      and f.chunks > (select count(*) from private.knowledge_vectors v where v.file_id = f.id and v.model = by_model)
    on conflict do nothing;
  return (select count(*) from private.embedding_jobs);
end
$$;
select cron.schedule('launchpad-knowledge-vectors', '51 3 * * *', 'select private.queue_embeddings()');

-- Sets the embedding model; without one, search goes on by words alone and the vectors are deleted. Installs pgvector
-- where the project offers it. → {framework, model, files}: how many files wait for their vectors. Raises
-- INVALID_FRAMEWORK, INVALID_MODEL, VALIDATION_ERROR. Definer: service_role has no rights
-- here, and may not install extensions.
create function private.set_embedding_model(new_framework text, new_model text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  files integer;
begin
  if new_framework is null and new_model is null then
    delete from private.embedding_model where only_one;
    delete from private.embedding_jobs j where j.file_id is not null;
    delete from private.knowledge_vectors v where v.file_id is not null;
    return jsonb_build_object('framework', null, 'model', null, 'files', 0);
  end if;
  perform private.raise_problems(
    private.problem_if(coalesce(new_framework not in ('openai', 'google'), true), 'framework',
      'Must be openai (also for servers that speak its form) or google')
    || private.problem_if(coalesce(new_model !~ '^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}$', true), 'model',
      'Must be the provider''s name of an embedding model, such as text-embedding-3-small'));
  if private.vector_schema() is null then
    begin
      create extension vector with schema extensions;
    exception when feature_not_supported or undefined_file or insufficient_privilege then
      perform private.raise_problems(jsonb_build_object('extension',
        'Needs the extension vector (pgvector), which this database does not have or may not install (' || sqlerrm
        || '). Enable it in the dashboard under Database, Extensions, or as a superuser: create extension vector with '
          'schema extensions'));
    end;
  end if;
  insert into private.embedding_model as m (framework, model) values (new_framework, new_model)
    on conflict (only_one) do update set framework = excluded.framework, model = excluded.model;
  files := private.queue_embeddings();
  if files > 0 then
    -- Who is at work on one makes vectors of the model before: they are not waited for.
    update private.embedding_jobs j set attempts = 0, next_attempt_at = now(), last_error = null, lease_token = null,
        lease_expires_at = null where j.file_id is not null;
    perform private.post_to_knowledge();
  end if;
  return jsonb_build_object('framework', new_framework, 'model', new_model, 'files', files);
end
$$;
comment on function private.set_embedding_model(text, text) is
  'Operators: sets the embedding model of knowledge; null turns it off.';

-- The next chunks of a file without a vector of the model: [{place, text}]. As many as every server takes in one call
-- (Hugging Face's takes 32), each of at most 4,800 bytes.
create function private.unembedded(of_file uuid, by_model text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select coalesce(jsonb_agg(jsonb_build_object('place', c.place, 'text', concat_ws(E'\n', c.heading, c.content))
    order by c.place), '[]')
    from (select x.* from private.knowledge_chunks x where x.file_id = of_file and not exists (
        select from private.knowledge_vectors v where v.file_id = x.file_id and v.place = x.place
          and v.model = by_model)
      order by x.place limit 32) c);
end
$$;

-- Leaves the files of users who had their share of a day to the next one. Locks their jobs (skip locked).
create function private.postpone_embeddings() returns void
language plpgsql volatile set search_path = '' as $$
begin
  update private.embedding_jobs j set next_attempt_at = date_trunc('day', now()) + interval '1 day',
      last_error =
        'The day''s vectors of this user are made (three times max_knowledge_chunks); the rest follows tomorrow'
    where j.file_id in (
      select x.file_id from private.embedding_jobs x join public.knowledge_files f on f.id = x.file_id
      where x.next_attempt_at <= now() and private.had_vectors(f.user_id) for update of x skip locked);
end
$$;

-- Takes up to max_count files, each user's in turn: [{fileId, leaseToken, framework, model, chunks: [{place, text}]}],
-- the first batch of each. Definer: service_role has no rights on private tables. Locks the jobs taken (skip locked).
create function private.claim_embeddings(worker text, max_count integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  m private.embedding_model;
  job record;
  token uuid;
  batch jsonb;
  taken jsonb := '[]';
begin
  perform private.check_worker(worker, lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 20, true), 'max_count',
    'Must be between 1 and 20'));
  select * into m from private.embedding_model x where private.vector_schema() is not null;
  if not found then
    return taken;
  end if;
  perform private.postpone_embeddings();
  for job in
    select j.file_id from (
        select x.file_id, x.next_attempt_at, row_number() over (partition by y.user_id order by x.next_attempt_at,
          x.file_id) as place
        from private.embedding_jobs x join public.knowledge_files y on y.id = x.file_id
        where x.next_attempt_at <= now() and coalesce(x.lease_expires_at < now(), true)
        order by place, next_attempt_at limit max_count * 4) w
      join private.embedding_jobs j on j.file_id = w.file_id
    where j.next_attempt_at <= now() and coalesce(j.lease_expires_at < now(), true)
    order by w.place, w.next_attempt_at limit max_count for update of j skip locked
  loop
    batch := private.unembedded(job.file_id, m.framework || '/' || m.model);
    if batch = '[]' then
      delete from private.embedding_jobs j where j.file_id = job.file_id;
      continue;
    end if;
    update private.embedding_jobs j set lease_token = gen_random_uuid(), lease_expires_at = now()
      + make_interval(secs => lease_seconds)
      where j.file_id = job.file_id returning j.lease_token into token;
    taken := taken || jsonb_build_object('fileId', job.file_id, 'leaseToken', token, 'framework', m.framework,
      'model', m.model,
      'chunks', batch);
  end loop;
  return taken;
end
$$;
comment on function private.claim_embeddings(text, integer, integer) is
  'Leases knowledge files whose vectors are to be made.';

-- A vector as JSON brings it. Raises VALIDATION_ERROR.
create function private.to_embedding(given jsonb) returns real[]
language plpgsql immutable set search_path = '' as $$
declare
  bad boolean := jsonb_typeof(given) is distinct from 'array';
begin
  if not bad then
    bad := jsonb_array_length(given) not between 1 and 4096
      or exists (select from jsonb_array_elements(given) x where jsonb_typeof(x) <> 'number');
  end if;
  if not bad then
    -- Within what a real holds; smaller than it can hold is 0.
    bad := exists (select from jsonb_array_elements_text(given) x where abs(x::numeric) > 1e6);
  end if;
  perform private.raise_problems(private.problem_if(bad,
    'embedding', 'Must be a list of 1 to 4096 numbers between -1e6 and 1e6'));
  return array(select round(x::numeric, 12)::real from jsonb_array_elements_text(given)
    with ordinality t (x, n) order by n);
end
$$;

-- Takes vectors of a leased file's chunks, [{place, embedding}], made by `by_model`
-- (framework/model), and renews the lease.
-- → {accepted, chunks}: the next batch, empty when the file has all. Not accepted: the file changed, the setting
-- changed, or somebody else has it. Definer: as above.
create function private.add_embeddings(of_file uuid, token uuid, by_model text, items jsonb,
  lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  f public.knowledge_files;
  made integer;
  batch jsonb;
begin
  perform private.check_worker('knowledge', lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(jsonb_typeof(items) <> 'array'
    or jsonb_array_length(items) > 32
      or exists (select from jsonb_array_elements(items) i where jsonb_typeof(i -> 'place') is distinct from 'number'),
        true),
    'items', 'Must be a list of at most 32 objects with place and embedding'));
  -- The file before the job, as who changes the object takes them.
  select * into f from public.knowledge_files x where x.id = of_file and x.status = 'indexed' for key share;
  perform from private.embedding_jobs j where j.file_id = f.id and j.lease_token = token for update;
  if not found or by_model is distinct from private.embeds_by() then
    return '{"accepted": false}';
  end if;
  insert into private.knowledge_vectors as v (file_id, place, agent_id, model, embedding, signs)
    select distinct on (c.place) f.id, c.place, f.agent_id, by_model, e.embedding, private.signs(e.embedding)
    from jsonb_array_elements(items) i
    cross join lateral (select private.to_embedding(i -> 'embedding') as embedding) e
    join private.knowledge_chunks c on c.file_id = f.id and c.place = (i ->> 'place')::numeric
    on conflict (file_id, place) do update set model = excluded.model, embedding = excluded.embedding,
      signs = excluded.signs;
  get diagnostics made = row_count;
  perform private.count_vectors(f.user_id, made);
  batch := private.unembedded(f.id, by_model);
  if batch = '[]' then
    delete from private.embedding_jobs j where j.file_id = f.id;
  else
    update private.embedding_jobs j set attempts = 0, last_error = null, lease_expires_at = now()
      + make_interval(secs => lease_seconds)
      where j.file_id = f.id;
  end if;
  return jsonb_build_object('accepted', true, 'chunks', batch);
end
$$;
comment on function private.add_embeddings(uuid, uuid, text, jsonb, integer) is
  'Stores vectors of a leased knowledge file.';

-- Gives a file back whose vectors could not be made: tried again after 2, 4, 8 … seconds, at most an hour, for ever,
-- since the provider's fault ends some day and what is missing costs nothing. Definer: as above.
create function private.fail_embeddings(of_file uuid, token uuid, error text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  update private.embedding_jobs j set lease_token = null, lease_expires_at = null, attempts = j.attempts + 1,
    last_error = left(error, 500),
      next_attempt_at = now() + make_interval(secs => least(3600, 2 ^ least(j.attempts + 1, 12)))
    where j.file_id = of_file and j.lease_token = token;
  return jsonb_build_object('accepted', found);
end
$$;
comment on function private.fail_embeddings(uuid, uuid, text) is
  'Gives back a knowledge file whose vectors could not be made.';

-- The model by which a question to this agent is embedded, {framework, model}; null where it has no vectors of it, or
-- its owner had their share of the day: then words alone find knowledge.
create function private.question_model(of_agent text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select jsonb_build_object('framework', m.framework, 'model', m.model) from private.embedding_model m
    where private.vector_schema() is not null and exists (
      select from private.knowledge_vectors v where v.agent_id = of_agent and v.model = m.framework || '/' || m.model)
    and not private.had_vectors((select a.user_id from public.agents a where a.id = of_agent)));
end
$$;

-- The same, asked by the function `knowledge` for a runtime that proves itself; what is named is counted as made.
-- Definer: as above. Raises INSUFFICIENT_PERMISSIONS.
create function private.runtime_question_model(of_agent text, credential text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  named jsonb;
begin
  perform private.check_runtime(of_agent, credential);
  named := private.question_model(of_agent);
  if named is not null then
    perform private.count_vectors((select a.user_id from public.agents a where a.id = of_agent), 1);
  end if;
  return named;
end
$$;
comment on function private.runtime_question_model(text, text) is
  'The model that embeds a runtime''s question, by its credential.';

-- The chunks of an agent that are nearest to a question's vector, best first. All of the agent's chunks by their signs,
-- then the nearest 200 by the cosine: the time grows with the agent's own chunks alone, and
-- none of another agent can be found.
-- What is less than 0.7 times as similar as the nearest, or below 0.2, has nothing to do with the question. A vector of
-- zeros has no direction (NaN).
create function private.nearest_knowledge(of_agent text, question real[])
  returns table (file_id uuid, place integer, rank bigint)
language plpgsql stable set search_path = '' as $$
declare
  within text := private.vector_schema();
begin
  if question is null or within is null then
    return;
  end if;
  return query execute format('
    with near as materialized (
      select v.file_id, v.place, v.embedding from private.knowledge_vectors v
      where v.agent_id = $1 and v.model = $2 and length(v.signs) = cardinality($3)
      order by bit_count(v.signs # $4), v.file_id, v.place limit 200
    ), ranked as (
      select n.file_id, n.place, 1 - (n.embedding::%1$I.vector operator(%1$I.<=>) $3::%1$I.vector) as similarity
      from near n
    )
    select r.file_id, r.place, row_number() over (order by r.similarity desc, r.file_id, r.place)
    from (select x.*, max(x.similarity) over () as top from ranked x where x.similarity between 0.2 and 1.01) r
    where r.similarity >= 0.7 * r.top order by 3 limit $5', within)
    using of_agent, private.embeds_by(), question, private.signs(question), private.answering_limit('knowledge_chunks');
exception when undefined_file then
  -- Installed, and its library is gone: a data folder with pgvector on a server without it. Words still find knowledge.
  raise warning
    'Knowledge is not searched by meaning: %. Start the server with pgvector, or drop the extension vector.', sqlerrm;
end
$$;

create function public.set_embedding_model(framework text, model text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.set_embedding_model(framework, model); end $$;
create function public.claim_embeddings(worker text, max_count integer default 2,
  lease_seconds integer default 60) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.claim_embeddings(worker, max_count, lease_seconds); end $$;
create function public.add_embeddings(file_id uuid, lease_token uuid, model text, items jsonb,
  lease_seconds integer default 60)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.add_embeddings(file_id, lease_token, model, items, lease_seconds); end $$;
create function public.fail_embeddings(file_id uuid, lease_token uuid, error text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.fail_embeddings(file_id, lease_token, error); end $$;
create function public.runtime_question_model(agent_id text, credential text) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.runtime_question_model(agent_id, credential); end $$;

revoke execute on all functions in schema private from public;
grant execute on function private.set_embedding_model(text, text), private.claim_embeddings(text, integer, integer),
  private.add_embeddings(uuid, uuid, text, jsonb, integer), private.fail_embeddings(uuid, uuid, text),
  private.runtime_question_model(text, text) to service_role;
revoke execute on function public.set_embedding_model(text, text), public.claim_embeddings(text, integer, integer),
  public.add_embeddings(uuid, uuid, text, jsonb, integer), public.fail_embeddings(uuid, uuid, text),
  public.runtime_question_model(text, text) from public, anon, authenticated;
grant execute on function public.set_embedding_model(text, text), public.claim_embeddings(text, integer, integer),
  public.add_embeddings(uuid, uuid, text, jsonb, integer), public.fail_embeddings(uuid, uuid, text),
  public.runtime_question_model(text, text) to service_role;
comment on function public.set_embedding_model(text, text) is
  'Operators: sets the embedding model of knowledge; null turns it off.';
comment on function public.claim_embeddings(text, integer, integer) is
  'Answering: leases knowledge files whose vectors are to be made.';
comment on function public.add_embeddings(uuid, uuid, text, jsonb, integer) is
  'Answering: stores vectors of a leased knowledge file.';
comment on function public.fail_embeddings(uuid, uuid, text) is
  'Answering: gives back a knowledge file whose vectors could not be made.';
comment on function public.runtime_question_model(text, text) is
  'Answering: the model that embeds a runtime''s question.';
