-- Realtime: who may join which private topic, and the broadcast of every event of an agent.
-- Changes of tables (postgres_changes) need no more than the publication (…_telemetry) and the tables' own policies.
--
-- Private topics: `agent:<agentId>` is its owner's, `user:<uid>` that user's. On both they may also send broadcasts and
-- be present; nobody else may read or write there, and no other private topic is open to anyone. Both carry the rows of
-- agent_events and take the permission that reading those takes.

-- Whether `topic` is the caller's: their own, or that of an agent of theirs. Called by the policies below.
-- An invoker's function: the agent is looked up under its own row-level security.
create function private.owns_topic(topic text) returns boolean
language sql stable set search_path = ''
return case
  when topic like 'user:%' then topic = 'user:' || (select private.reader('agents:read'))::text
  when topic like 'agent:%' then exists (
    select from public.agents a
    where a.id = substr(topic, length('agent:') + 1) and a.user_id = (select private.reader('agents:read')))
  else false
end;
revoke execute on function private.owns_topic(text) from public, anon;
grant execute on function private.owns_topic(text) to authenticated;
comment on function private.owns_topic(text) is 'Whether a private Realtime topic is the caller''s.';

-- Realtime asks these with the caller's claims and the topic set: a row is looked for to read, inserted to write.
create policy "owners can read their topics" on realtime.messages for select to authenticated
  using (topic = (select realtime.topic()) and extension in ('broadcast', 'presence')
    and (select private.owns_topic(realtime.topic())));
create policy "owners can write to their topics" on realtime.messages for insert to authenticated
  with check (topic = (select realtime.topic()) and extension in ('broadcast', 'presence')
    and (select private.owns_topic(realtime.topic())));

-- Realtime's own role judges the patterns of filters by the rule of REST's (…_query_guards).
grant usage on schema private to supabase_realtime_admin;
grant execute on function private.is_calm_pattern(text), private.is_calm_like(text) to supabase_realtime_admin;

-- What Realtime asks every few seconds about the users connected to it: a banned or deleted account loses its sockets,
-- changed permissions have private topics judged again. Definer: Realtime's role reads neither
-- accounts nor permissions.
create function private.standings(users uuid[]) returns table (user_id uuid, state text, permissions text[])
language sql stable security definer set search_path = ''
begin atomic
  select w.id, private.account_state(w.id), private.effective_permissions(w.id) from unnest(users) as w (id);
end;
grant execute on function private.standings(uuid[]) to supabase_realtime_admin;
comment on function private.standings(uuid[]) is
  'The state and permissions of accounts that are connected to Realtime.';

-- The default replica identity (the primary key) is what Realtime needs of every published table: an UPDATE then
-- carries the key as its old record, a DELETE the key alone, which is all that may be shown of
-- a row under row-level security.

-- Sends each event of an agent, as its row reads in REST, to the agent's topic and to its owner's.
-- Definer: realtime.messages is open to nobody who may cause an event. Never fails the write that it speaks of:
-- realtime.send() turns its own errors into warnings, and so does this function.
create function private.tg_agent_events__broadcast() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  -- Nobody may listen to an account that is gone, and what is not sent need not be erased.
  if private.is_erased(new.user_id) then
    return null;
  end if;
  ignored := realtime.send(to_jsonb(new), new.event_type, 'agent:' || new.agent_id, true);
  ignored := realtime.send(to_jsonb(new), new.event_type, 'user:' || new.user_id, true);
  return null;
exception when others then
  raise warning 'launchpad: event % was not broadcast: %', new.id, sqlerrm;
  return null;
end
$$;
create trigger _900_broadcast after insert on public.agent_events
  for each row execute function private.tg_agent_events__broadcast();
revoke execute on function private.tg_agent_events__broadcast() from public;
