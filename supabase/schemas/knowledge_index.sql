-- Knowledge, the index: the function `knowledge` takes pending files with a lease, reads and cuts them, and brings
-- their chunks in parts. What it brought counts when the file is finished; dying between any two calls leaves a pending
-- file that the next claim reads from the beginning.

-- The words that a text is found by: English stems (other languages as they are written), and pairs of characters in
-- scripts that put no space between words. Typographic marks separate words in every locale;
-- NFKC undoes the ligatures of PDFs.
create function private.words_of(content text) returns text[]
language sql immutable parallel safe set search_path = ''
return (
  with cleaned as (
    select lower(translate(normalize(content, nfkc), '“”„‘’«»…–—·|、。，！？：；（）「」『』【】', repeat(' ', 31))) as text
  )
  select array(
    select w from unnest(tsvector_to_array(to_tsvector('pg_catalog.english', (select c.text from cleaned c)))) w
    union
    select substr(r.run, i, 2) from cleaned c
      cross join lateral regexp_matches(c.text,
        '[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+', 'g') m
      cross join lateral (select m[1] as run) r
      cross join lateral generate_series(1, greatest(1, length(r.run) - 1)) i)
);

-- Keys of an agent's words: 64 bits of a digest, the same on every machine and version.
create function private.word_keys(of_agent text, words text[]) returns bigint[]
language sql immutable parallel safe set search_path = ''
return array(select distinct ('x' || left(md5(of_agent || ' ' || w), 16))::bit(64)::bigint from unnest(words) w);

-- Whether an answer waits: for files that changed before it was asked for, and not for long, so that whoever goes on
-- uploading gets answers.
create function private.awaits_knowledge(j private.reply_jobs) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return j.created_at > now() - make_interval(secs => private.knowledge_limit('wait_seconds'))
    and exists (select from public.knowledge_files f where f.agent_id = j.agent_id and f.status = 'pending'
      and f.updated_at <= j.created_at);
end
$$;

-- Ends a file's indexing: indexed, or refused with a sentence. Answers that waited for it go on.
create function private.settle_knowledge(of_file uuid, refusal text) returns void
language plpgsql volatile set search_path = '' as $$
declare
  of_agent text;
begin
  delete from private.knowledge_jobs j where j.file_id = of_file;
  if refusal is not null then
    delete from private.knowledge_chunks c where c.file_id = of_file;
  end if;
  update public.knowledge_files f set status = case when refusal is null then 'indexed' else 'refused' end,
      error = left(refusal, 500), indexed_at = case when refusal is null then now() end,
      chunks = case when refusal is null then f.chunks else 0 end,
        bytes = case when refusal is null then f.bytes else 0 end
    where f.id = of_file returning f.agent_id into of_agent;
  if refusal is null then
    perform private.queue_embedding(of_file);
  end if;
  update private.reply_jobs y set next_attempt_at = now() where y.id in (
    select x.id from private.reply_jobs x where x.agent_id = of_agent and x.state = 'waiting'
      and x.next_attempt_at > now()
      and x.last_error = 'KNOWLEDGE_PENDING' and not private.awaits_knowledge(x) for update skip locked);
  if found then
    perform private.post_to_respond('{"reason": "knowledge indexed"}');
  end if;
end
$$;

-- What can be said of an object without its bytes: why it is refused; null where it has to be read.
create function private.knowledge_refusal(metadata jsonb) returns text
language sql stable set search_path = ''
return case
  when (metadata ->> 'size')::numeric > private.knowledge_limit('file_bytes') then
    format('The file has %s bytes; a knowledge file may have at most %s. Split it into smaller files.',
      metadata ->> 'size', private.knowledge_limit('file_bytes'))
  when metadata ->> 'mimetype' ~ '^(image|audio|video)/' then
    format('%s is not text. Upload a text, Markdown, CSV, JSON, YAML or PDF file.', metadata ->> 'mimetype')
end;

-- Takes up to max_count files, each user's in turn: [{fileId, leaseToken, agentId, path, size, mimetype, character?}],
-- the last for character.knowledge. Definer: service_role has no rights on private tables.
-- Locks the files and jobs taken (skip locked).
create function private.claim_knowledge(worker text, max_count integer, lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  job record;
  object jsonb;
  refusal text;
  token uuid;
  taken jsonb := '[]';
  found_any boolean;
begin
  perform private.check_worker(worker, lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 20, true), 'max_count',
    'Must be between 1 and 20'));
  -- Files refused unread take no worker's place. The rest of a great many waits for the next sweep.
  for round in 1 .. 100 loop
    found_any := false;
    for job in
      select j.attempts, f.* from (
          select x.file_id, x.next_attempt_at, row_number() over (partition by y.user_id order by x.next_attempt_at,
            x.file_id) as place
          from private.knowledge_jobs x join public.knowledge_files y on y.id = x.file_id
          where x.next_attempt_at <= now() and coalesce(x.lease_expires_at < now(), true)
          order by place, next_attempt_at limit max_count * 4) w
        join private.knowledge_jobs j on j.file_id = w.file_id join public.knowledge_files f on f.id = w.file_id
      where j.next_attempt_at <= now() and coalesce(j.lease_expires_at < now(), true)
      order by w.place, w.next_attempt_at limit max_count for no key update of j, f skip locked
    loop
      found_any := true;
      object := case when job.path <> 'character.knowledge' then (
        select o.metadata from storage.objects o where o.bucket_id = 'agent-assets' and o.name = job.agent_id || '/'
          || job.path) end;
      if object is null and job.path <> 'character.knowledge' then
        delete from public.knowledge_files f where f.id = job.id; -- its object went without a trigger
        continue;
      end if;
      refusal := coalesce(private.knowledge_refusal(object),
        case when job.attempts >= private.knowledge_limit('attempts') then
        'The file could not be read. Upload it again.' end);
      if refusal is not null then
        perform private.settle_knowledge(job.id, refusal);
        continue;
      end if;
      update private.knowledge_jobs j set attempts = j.attempts + 1, lease_token = gen_random_uuid(),
          lease_expires_at = now() + make_interval(secs => lease_seconds)
        where j.file_id = job.id returning j.lease_token into token;
      taken := taken || jsonb_strip_nulls(jsonb_build_object('fileId', job.id, 'leaseToken', token,
        'agentId', job.agent_id,
        'path', job.path, 'size', (object ->> 'size')::bigint, 'mimetype', object ->> 'mimetype',
        'character', case when object is null
          then (select jsonb_build_object('name', coalesce(a."character" ->> 'name', a.name),
          'knowledge', a."character" -> 'knowledge') from public.agents a where a.id = job.agent_id) end));
    end loop;
    exit when taken <> '[]' or not found_any;
  end loop;
  return taken;
end
$$;
comment on function private.claim_knowledge(text, integer, integer) is 'Leases knowledge files that are to be indexed.';

-- Locks a job and returns its file, where the lease holds. The file before the job, as who
-- changes the object takes them.
create function private.leased_knowledge(of_file uuid, token uuid) returns public.knowledge_files
language plpgsql volatile set search_path = '' as $$
declare
  f public.knowledge_files;
begin
  select * into f from public.knowledge_files x where x.id = of_file for no key update;
  perform from private.knowledge_jobs j where j.file_id = of_file and j.lease_token = token for update;
  return case when found then f end;
end
$$;

-- Takes a part of a file's chunks, [{heading?, content}], of which the first is the file's chunk number `first`; a part
-- that comes again replaces itself and what came after it. Renews the lease. → {accepted}, or {accepted: false,
-- refused: why} when the user's quota is used up: the file is refused then. Definer: as above. Takes a lock per user,
-- so that files of one user are counted one after the other.
create function private.add_knowledge(of_file uuid, token uuid, first integer, items jsonb,
  lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  f public.knowledge_files;
  q public.quotas;
  used record;
  refusal text;
begin
  perform private.check_worker('knowledge', lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(first < 0, true), 'first', 'Must be 0 or more')
    || private.problem_if(coalesce(jsonb_typeof(items) <> 'array' or jsonb_array_length(items) > 500
         or exists (select from jsonb_array_elements(items) i
           where jsonb_typeof(i -> 'content') is distinct from 'string'), true),
         'chunks', 'Must be a list of at most 500 objects with content'));
  f := private.leased_knowledge(of_file, token);
  if f.id is null then
    return '{"accepted": false}';
  end if;
  delete from private.knowledge_chunks c where c.file_id = f.id and c.place >= first;
  insert into private.knowledge_chunks (file_id, place, heading, content, words)
    select f.id, first + i.n - 1, i.item ->> 'heading', i.item ->> 'content',
      private.word_keys(f.agent_id, private.words_of(concat_ws(' ', i.item ->> 'heading', i.item ->> 'content')))
    from jsonb_array_elements(items) with ordinality i (item, n);
  -- Not the quota's row: Storage holds it while it waits for the file.
  perform pg_advisory_xact_lock(hashtextextended('knowledge ' || f.user_id, 0));
  select * into q from public.quotas x where x.user_id = f.user_id;
  update public.knowledge_files x set (chunks, bytes) = (
      select count(*), coalesce(sum(octet_length(c.content)), 0) from private.knowledge_chunks c where c.file_id = x.id)
    where x.id = f.id;
  select sum(x.chunks) as chunks, sum(x.bytes) as bytes into used from public.knowledge_files x
    where x.user_id = f.user_id;
  refusal := case
    when used.bytes > q.max_knowledge_bytes
      then format('The knowledge of your agents may have at most %s bytes of text '
      || '(max_knowledge_bytes). Delete files, or ask an operator for a larger quota.', q.max_knowledge_bytes)
    when used.chunks > q.max_knowledge_chunks then format('The knowledge of your agents may have at most %s chunks '
      || '(max_knowledge_chunks). Delete files, or ask an operator for a larger quota.', q.max_knowledge_chunks) end;
  if refusal is not null then
    perform private.settle_knowledge(f.id, refusal);
    return jsonb_build_object('accepted', false, 'refused', refusal);
  end if;
  update private.knowledge_jobs j set lease_expires_at = now() + make_interval(secs => lease_seconds)
    where j.file_id = f.id;
  return '{"accepted": true}';
end
$$;
comment on function private.add_knowledge(uuid, uuid, integer, jsonb, integer) is
  'Stores chunks of a leased knowledge file.';

-- Ends the work on a file. outcome: {} when it is indexed, {refused: why}, or {retry: true} when it could not be read
-- now: tried again after 2, 8, 32 … s. Definer: as above.
create function private.finish_knowledge(of_file uuid, token uuid, outcome jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  f public.knowledge_files := private.leased_knowledge(of_file, token);
begin
  if f.id is null then
    return '{"accepted": false}';
  elsif coalesce((outcome ->> 'retry')::boolean, false) then
    update private.knowledge_jobs j set lease_token = null, lease_expires_at = null,
      next_attempt_at = now() + interval '0.5 seconds' * 4 ^ j.attempts where j.file_id = f.id;
  else
    perform private.settle_knowledge(f.id, outcome ->> 'refused');
  end if;
  return '{"accepted": true}';
end
$$;
comment on function private.finish_knowledge(uuid, uuid, jsonb) is 'Ends the work on a leased knowledge file.';

-- What waits is hinted at again: a lost call costs latency, never a file.
create function private.sweep_knowledge() returns void
language plpgsql volatile set search_path = '' as $$
begin
  if exists (select from private.knowledge_jobs j where j.next_attempt_at <= now()
    and coalesce(j.lease_expires_at < now(), true))
      or exists (select from private.embedding_jobs j where j.next_attempt_at <= now()
        and coalesce(j.lease_expires_at < now(), true)) then
    perform private.post_to_knowledge();
  end if;
end
$$;
select cron.schedule('launchpad-knowledge', '10 seconds', 'select private.sweep_knowledge()');

create function public.claim_knowledge(worker text, max_count integer default 4,
  lease_seconds integer default 60) returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.claim_knowledge(worker, max_count, lease_seconds); end $$;
create function public.add_knowledge(file_id uuid, lease_token uuid, first integer, chunks jsonb,
  lease_seconds integer default 60)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.add_knowledge(file_id, lease_token, first, chunks, lease_seconds); end $$;
create function public.finish_knowledge(file_id uuid, lease_token uuid, outcome jsonb default '{}') returns jsonb
language plpgsql volatile set search_path = '' as $$
begin return private.finish_knowledge(file_id, lease_token, outcome); end $$;

revoke execute on all functions in schema private from public;
grant execute on function private.claim_knowledge(text, integer, integer),
  private.add_knowledge(uuid, uuid, integer, jsonb, integer),
  private.finish_knowledge(uuid, uuid, jsonb) to service_role;
revoke execute on function public.claim_knowledge(text, integer, integer),
  public.add_knowledge(uuid, uuid, integer, jsonb, integer),
  public.finish_knowledge(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.claim_knowledge(text, integer, integer),
  public.add_knowledge(uuid, uuid, integer, jsonb, integer),
  public.finish_knowledge(uuid, uuid, jsonb) to service_role;
comment on function public.claim_knowledge(text, integer, integer) is
  'Answering: leases knowledge files that are to be indexed.';
comment on function public.add_knowledge(uuid, uuid, integer, jsonb, integer) is
  'Answering: stores chunks of a leased knowledge file.';
comment on function public.finish_knowledge(uuid, uuid, jsonb) is
  'Answering: a knowledge file is indexed, refused or tried again.';

select private.resync_knowledge();
