-- Knowledge, the search: which chunks an answer gets, for `respond` by its lease and for an
-- agent's runtime by its credential.

-- The chunks of an agent that fit a question best, within the budget of an answer: those with its words, and, where its
-- vector (`meaning`) is known, those nearest to it. The two lists are joined by reciprocal ranks (1 / (60 + place)), as
-- their scores cannot be compared. `before`, what was said before it, counts for
-- less, and only where the question is short ("And in Austria?"). A chunk's score is the sum of the weights of the
-- words it has in common with the question, each the higher the fewer chunks have it (BM25's weight). At most `most`
-- entries of the index are read for a word; one with more counts only where no other is known. So the time does not
-- grow with the number of chunks (10,000 chunks: docs/knowledge.md has the figure; ranking all
-- matches by ts_rank took four times as long).
create function private.find_knowledge(of_agent text, question text, before text default null,
  meaning real[] default null)
returns table (path text, place integer, heading text, content text)
language plpgsql stable set search_path = '' set enable_seqscan = off as $$
declare
  asked text[] := private.words_of(left(question, 8000));
  total bigint := (select sum(f.chunks) from public.knowledge_files f where f.agent_id = of_agent
    and f.status = 'indexed');
  most bigint := greatest(100, least(400, total / 10));
begin
  if coalesce(total, 0) = 0 then
    return;
  end if;
  return query
    with words as (
      select u.key, max(u.weight) as weight from (
        select k.key, 1.0 as weight from unnest(private.word_keys(of_agent, asked)) k (key)
        union all
        select k.key, 0.4 from unnest(private.word_keys(of_agent, private.words_of(left(before, 8000)))) k (key)
        where cardinality(asked) < 6) u
      group by u.key order by 2 desc, 1 limit 48
    ), hits as materialized (
      select w.key, w.weight, h.file_id, h.place from words w cross join lateral (
        select c.file_id, c.place from private.knowledge_chunks c where c.words @> array[w.key] limit most + 1) h
    ), known as (
      select h.key, count(*) <= most as rare,
        h.weight * ln(1 + (greatest(total, count(*)) - count(*) + 0.5) / (count(*) + 0.5)) as weight
      from hits h group by h.key, h.weight
    ), worded as (
      select h.file_id, h.place, sum(k.weight) as score from hits h join known k on k.key = h.key
      join public.knowledge_files f on f.id = h.file_id and f.status = 'indexed'
      where k.rare or not exists (select from known r where r.rare)
      group by 1, 2 order by 3 desc, 1, 2 limit private.answering_limit('knowledge_chunks')
    ), lists as (
      select w.file_id, w.place, row_number() over (order by w.score desc, w.file_id, w.place) as rank
      from (select x.*, max(x.score) over () as top from worded x) w where w.score >= 0.3 * w.top
      union all
      select n.file_id, n.place, n.rank from private.nearest_knowledge(of_agent, meaning) n
    ), best as (
      select l.file_id, l.place, sum(1.0 / (60 + l.rank)) as score from lists l
      group by 1, 2 order by 3 desc, 1, 2 limit private.answering_limit('knowledge_chunks')
    ), fitting as (
      select f.path, c.place, c.heading, c.content,
        sum(octet_length(c.content)) over ranked as so_far, row_number() over ranked as nth
      from best b join private.knowledge_chunks c on c.file_id = b.file_id and c.place = b.place
      join public.knowledge_files f on f.id = b.file_id
      window ranked as (order by b.score desc, c.file_id, c.place)
    )
    select t.path, t.place, t.heading, t.content from fitting t
    where t.so_far <= private.answering_limit('knowledge_bytes') order by t.nth;
end
$$;
comment on function private.find_knowledge(text, text, text, real[]) is
  'The chunks of an agent''s knowledge that fit a question best.';

-- [{path, place, heading?, content}] of a question.
create function private.knowledge_for(of_agent text, question text, before text, meaning real[]) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('path', k.path, 'place', k.place,
    'heading', k.heading,
    'content', k.content)) order by k.nth), '[]')
    from (select x.*, row_number() over () as nth from private.find_knowledge(of_agent, question, before,
      meaning) x) k);
end
$$;

-- What an answer was given, as messages.sources has it: [{path, chunk, heading?}].
create function private.knowledge_sources(chunks jsonb) returns jsonb
language sql immutable set search_path = ''
return (select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('path', c -> 'path', 'chunk', c -> 'place',
  'heading', c -> 'heading'))
  order by n), '[]') from jsonb_array_elements(chunks) with ordinality t (c, n));

-- The step of a retrieval (private.add_answer_step). `unembedded`: why there was no vector of the question though the
-- agent's knowledge has vectors; the step says so, as its answer may have missed what has other words.
create function private.knowledge_step(question text, chunks jsonb, began timestamptz, meaning real[],
  unembedded text) returns jsonb
language sql volatile set search_path = ''
return jsonb_build_object('kind', 'retrieval', 'name', 'knowledge', 'status', 'ok',
  'startedAt', floor(extract(epoch from began) * 1000),
    'milliseconds', round(extract(epoch from clock_timestamp() - began) * 1000),
  'arguments', jsonb_strip_nulls(jsonb_build_object('question', left(question, 500),
    'by', case when meaning is not null then 'words and meaning' end, 'notByMeaning', left(unembedded, 300))),
      'result', private.knowledge_sources(chunks)::text);

-- The vector of a question as callers bring it, null where they bring none.
create function private.question_meaning(embedding jsonb) returns real[]
language plpgsql immutable set search_path = '' as $$
begin
  return case when embedding is not null and embedding <> 'null' then private.to_embedding(embedding) end;
end
$$;

-- The knowledge for an answer that a worker holds; the answer's row will name it as its sources, and a step says what
-- was looked for. embedding: the question's vector, by private.question_model; unembedded: why
-- there is none though there should be.
-- The lease authorises. Definer: service_role has no rights on private tables. Raises CONFLICT.
create function private.retrieve_for_reply(job_id uuid, token uuid, embedding jsonb, unembedded text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  began constant timestamptz := clock_timestamp();
  j private.reply_jobs;
  question public.messages;
  before text;
  chunks jsonb;
  meaning constant real[] := private.question_meaning(embedding);
begin
  select * into j from private.reply_jobs x where x.id = job_id and x.state = 'running' and x.lease_token = token;
  if not found then
    perform private.raise_error('CONFLICT', 'No lease on this answer');
  end if;
  select * into question from public.messages m where m.id = j.message_id;
  select m.content into before from public.messages m
    where m.user_id = j.user_id and (m.swarm_id = question.swarm_id or m.conversation_id = question.conversation_id)
      and m.sender_kind = 'user' and m.created_at < question.created_at
    order by m.created_at desc limit 1;
  chunks := private.knowledge_for(j.agent_id, question.content, before, meaning);
  update private.reply_jobs x set sources = private.knowledge_sources(chunks) where x.id = j.id
    and x.lease_token = token;
  if meaning is not null then
    perform private.count_vectors(j.user_id, 1);
  end if;
  perform private.add_answer_steps(j.id, j.agent_id, j.user_id,
    jsonb_build_array(private.knowledge_step(question.content, chunks, began, meaning, unembedded)));
  return chunks;
end
$$;
comment on function private.retrieve_for_reply(uuid, uuid, jsonb, text) is
  'The knowledge for an answer under way; its sources are noted.';

-- The knowledge for a message at an agent's own address; `message` is the answer's id, for its step. Definer: anon, as
-- which runtimes call, has no rights here; the credential authorises first. Raises
-- INSUFFICIENT_PERMISSIONS, VALIDATION_ERROR.
create function private.runtime_knowledge(of_agent text, credential text, message uuid, question text, before text,
  embedding jsonb,
  unembedded text) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  began constant timestamptz := clock_timestamp();
  chunks jsonb;
  meaning real[];
begin
  perform private.check_runtime(of_agent, credential);
  perform private.raise_problems(private.problem_if(question is null, 'question', 'Must be a text'));
  meaning := private.question_meaning(embedding);
  chunks := private.knowledge_for(of_agent, question, before, meaning);
  if message is not null then
    perform private.add_runtime_steps(of_agent, jsonb_build_array(jsonb_build_object('messageId', message,
      'steps', jsonb_build_array(private.knowledge_step(question, chunks, began, meaning, unembedded)))));
  end if;
  return chunks;
end
$$;
comment on function private.runtime_knowledge(text, text, uuid, text, text, jsonb, text) is
  'The knowledge for a message at an agent''s address.';

create function public.retrieve_for_reply(job_id uuid, lease_token uuid, embedding jsonb default null,
  unembedded text default null)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.retrieve_for_reply(job_id, lease_token, embedding, unembedded); end $$;
create function public.runtime_knowledge(agent_id text, credential text, message_id uuid, question text,
  before text default null,
  embedding jsonb default null, unembedded text default null)
returns jsonb language plpgsql volatile set search_path = '' as $$
begin return private.runtime_knowledge(agent_id, credential, message_id, question, before, embedding,
  unembedded); end $$;

revoke execute on all functions in schema private from public;
grant execute on function private.retrieve_for_reply(uuid, uuid, jsonb, text) to service_role;
grant execute on function private.runtime_knowledge(text, text, uuid, text, text, jsonb, text) to anon;
revoke execute on function public.retrieve_for_reply(uuid, uuid, jsonb, text) from public, anon, authenticated;
revoke execute on function public.runtime_knowledge(text, text, uuid, text, text, jsonb, text) from public,
  authenticated, service_role;
grant execute on function public.retrieve_for_reply(uuid, uuid, jsonb, text) to service_role;
grant execute on function public.runtime_knowledge(text, text, uuid, text, text, jsonb, text) to anon;
comment on function public.retrieve_for_reply(uuid, uuid, jsonb, text) is
  'Answering: the knowledge for an answer under way.';
comment on function public.runtime_knowledge(text, text, uuid, text, text, jsonb, text) is
  'Runtime: the knowledge for a message, by the agent''s credential.';
