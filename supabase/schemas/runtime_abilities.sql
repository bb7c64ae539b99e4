-- What the runtime of a deployed agent asks the project for, proven by the agent's credential: its tools, the secret of
-- one call, earlier messages. Where its steps go: with what its calls used (reserve_model_call, settle_model_calls).

-- The tools of an agent as a model is offered them, as the claim has them
-- (private.reply_tasks); no secret is among them.
create function private.offered_tools(of_agent text) returns jsonb
language sql stable set search_path = ''
return (select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'description', t.description,
    'inputSchema', t.input_schema, 'implementation', t.implementation, 'configuration', x.configuration)
    order by t.user_id nulls first, t.name), '[]')
  from public.agent_tools x join public.tools t on t.id = x.tool_id where x.agent_id = of_agent and x.enabled);

-- Definer: anon, as which runtimes call, has no rights here; the credential authorises first.
-- → {tools, knowledge, meaning}:
-- whether the agent has knowledge, so that a runtime asks for it only then; and whether it is
-- also found by its meaning.
create function private.runtime_tools(of_agent text, credential text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.check_runtime(of_agent, credential);
  return jsonb_build_object('tools', private.offered_tools(of_agent),
    'knowledge', exists (select from public.knowledge_files f where f.agent_id = of_agent and f.status <> 'refused'),
    'meaning', private.question_model(of_agent) is not null);
end
$$;

-- Definer: as above. The secret that one call of a tool is made with → {secret}, null where it is not stored. Only of a
-- tool that the agent has, by the name that its owner configured. Raises NOT_FOUND.
create function private.runtime_tool_secret(of_agent text, credential text, tool_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  x public.agent_tools;
begin
  perform private.check_runtime(of_agent, credential);
  select * into x from public.agent_tools y where y.agent_id = of_agent and y.tool_id = runtime_tool_secret.tool_id
    and y.enabled;
  if not found then
    perform private.raise_error('NOT_FOUND', 'This agent does not have the tool; assign it to the agent, or enable it');
  end if;
  return jsonb_build_object('secret', private.reply_secret(null, x.user_id, x.configuration ->> 'api_key_ref'));
end
$$;

-- Definer: as above. The secret that an MCP server of the agent is called with → {secret}, null where it is not stored:
-- the agent's own, else its owner's, never one of the installation. Raises NOT_FOUND for a
-- plugin that the agent does not name.
create function private.runtime_plugin_secret(of_agent text, credential text, plugin text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  a public.agents;
begin
  perform private.check_runtime(of_agent, credential);
  select * into a from public.agents x where x.id = of_agent and x.deleted_at is null
    and runtime_plugin_secret.plugin = any (x.plugins) and private.is_mcp_plugin(runtime_plugin_secret.plugin);
  if not found then
    perform private.raise_error('NOT_FOUND', 'This agent does not have the plugin; add it to its plugins');
  end if;
  return jsonb_build_object('secret', private.reply_secret(a.id, a.user_id, private.mcp_secret_name(plugin)));
end
$$;

-- Definer: as above. Earlier messages of a conversation that this agent takes part in, newest first.
create function private.runtime_search(of_agent text, credential text, conversation uuid, query text,
  most integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.check_runtime(of_agent, credential);
  return (select private.search_messages(a.user_id, conversation, null, now(), query, most) from public.agents a
    where a.id = of_agent and (
      exists (select from public.messages m where m.conversation_id = conversation and m.user_id = a.user_id
        and (m.to_agent_id = a.id or m.agent_id = a.id))
      or exists (select from public.swarm_agents s where s.swarm_id = conversation and s.agent_id = a.id)));
end
$$;

grant execute on function private.runtime_tools(text, text), private.runtime_tool_secret(text, text, uuid),
  private.runtime_plugin_secret(text, text, text), private.runtime_search(text, text, uuid, text, integer) to anon;

create function public.runtime_tools(agent_id text, credential text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.runtime_tools(agent_id, credential); end $$;
create function public.runtime_tool_secret(agent_id text, credential text, tool_id uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.runtime_tool_secret(agent_id, credential, tool_id); end $$;
create function public.runtime_plugin_secret(agent_id text, credential text, plugin text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.runtime_plugin_secret(agent_id, credential, plugin); end $$;
create function public.runtime_search(agent_id text, credential text, conversation_id uuid, query text,
  "limit" integer default 5) returns jsonb
language plpgsql stable set search_path = '' as $$
begin return private.runtime_search(agent_id, credential, conversation_id, query, "limit"); end $$;
revoke execute on function public.runtime_tools(text, text), public.runtime_tool_secret(text, text, uuid),
  public.runtime_plugin_secret(text, text, text), public.runtime_search(text, text, uuid, text, integer)
  from public, authenticated, service_role;
grant execute on function public.runtime_tools(text, text), public.runtime_tool_secret(text, text, uuid),
  public.runtime_plugin_secret(text, text, text), public.runtime_search(text, text, uuid, text, integer) to anon;
comment on function public.runtime_tools(text, text) is 'Runtime: the tools of its agent, without secrets.';
comment on function public.runtime_tool_secret(text, text, uuid) is
  'Runtime: the secret for one call of a tool of its agent.';
comment on function public.runtime_plugin_secret(text, text, text) is
  'Runtime: the secret for calls of an MCP server of its agent.';
comment on function public.runtime_search(text, text, uuid, text, integer) is
  'Runtime: earlier messages of a conversation of its agent.';

revoke execute on all functions in schema private from public;
