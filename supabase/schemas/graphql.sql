-- GraphQL: pg_graphql where the platform has it. The embedded stack answers /graphql/v1 by itself, from the same
-- comments (docs/graphql.md).

do $$
begin
  if exists (select from pg_available_extensions where name = 'pg_graphql') then
    create extension if not exists pg_graphql;
  end if;
exception when insufficient_privilege then
  raise notice 'pg_graphql is left as it is: an operator may enable it in the dashboard';
end
$$;

-- Names as GraphQL has them (agentLogsCollection, userId), and tools may ask for the schema.
comment on schema public is '@graphql({"inflect_names": true, "introspection": true})';

-- Two keys of messages lead to agents, one to messages: the ways back need names of their own.
comment on constraint messages_to_agent_id_fkey on public.messages is
  '@graphql({"local_name": "receivedMessagesCollection"})';
comment on constraint messages_reply_to_fkey on public.messages is
  '@graphql({"foreign_name": "inReplyTo", "local_name": "repliesCollection"})';
-- A framework leads to its default model, and to all of its models.
comment on constraint frameworks_default_model_fkey on public.frameworks is
  '@graphql({"foreign_name": "defaultModelEntry", "local_name": "defaultOf"})';

-- Where counting all rows is cheap, a collection tells how many there are.
comment on table public.agents is
  'AI agents: definitions, and what is wanted of those deployed. @graphql({"totalCount": {"enabled": true}})';
