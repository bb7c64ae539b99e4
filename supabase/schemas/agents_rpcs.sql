-- The RPCs over the verbs that change agents. Invoker; the caller must be a signed-in user.

insert into private.verbs (name, permission, status, idempotent) values
  ('launch_agent', 'agents:write', 201, true),
  ('deploy_agent', 'agents:write', 202, true),
  ('update_agent', 'agents:write', 202, false),
  ('scale_agent', 'agents:write', 202, true),
  ('restart_agent', 'agents:write', 202, true),
  ('stop_agent', 'agents:write', 202, true),
  ('start_agent', 'agents:write', 202, true),
  ('stop_all_agents', 'agents:write', 202, true),
  ('rollback_agent', 'agents:write', 202, true),
  ('delete_agent', 'agents:write', 202, false);

create function public.launch_agent(definition jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('launch_agent', jsonb_build_object('definition', definition)); end $$;
create function public.deploy_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('deploy_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.update_agent(agent_id text, changes jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('update_agent', jsonb_build_object('agent_id', agent_id, 'changes', changes)); end $$;
create function public.scale_agent(agent_id text, scale jsonb) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('scale_agent', jsonb_build_object('agent_id', agent_id, 'scale', scale)); end $$;
create function public.restart_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('restart_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.stop_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('stop_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.start_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('start_agent', jsonb_build_object('agent_id', agent_id)); end $$;
create function public.stop_all_agents() returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('stop_all_agents', '{}'); end $$;
create function public.rollback_agent(agent_id text, revision integer default null) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('rollback_agent', jsonb_build_object('agent_id', agent_id, 'revision', revision)); end $$;
create function public.delete_agent(agent_id text) returns json
language plpgsql volatile set search_path = '' as $$
begin return private.handle('delete_agent', jsonb_build_object('agent_id', agent_id)); end $$;

revoke execute on function public.launch_agent(jsonb), public.deploy_agent(text), public.update_agent(text, jsonb),
  public.scale_agent(text, jsonb), public.restart_agent(text), public.stop_agent(text), public.start_agent(text),
  public.stop_all_agents(), public.rollback_agent(text, integer), public.delete_agent(text)
  from public, anon, service_role;
grant execute on function public.launch_agent(jsonb), public.deploy_agent(text), public.update_agent(text, jsonb),
  public.scale_agent(text, jsonb), public.restart_agent(text), public.stop_agent(text), public.start_agent(text),
  public.stop_all_agents(), public.rollback_agent(text, integer), public.delete_agent(text)
  to authenticated;
comment on function public.launch_agent(jsonb) is 'Creates an agent from the body of POST /api/agents and deploys it.';
comment on function public.deploy_agent(text) is 'Deploys a definition, or deploys again after STOPPED or FAILED.';
comment on function public.update_agent(text, jsonb) is 'Changes an agent by the body of PUT /api/agents/{id}.';
comment on function public.scale_agent(text, jsonb) is 'Sets replicas and scaling_policy.';
comment on function public.restart_agent(text) is 'Replaces every replica, without a gap.';
comment on function public.stop_agent(text) is 'Stops every replica; the agent can be started again.';
comment on function public.start_agent(text) is 'Starts a stopped agent.';
comment on function public.stop_all_agents() is 'Stops every agent of the caller.';
comment on function public.rollback_agent(text, integer) is 'Runs an earlier revision again, as a new revision.';
comment on function public.delete_agent(text) is 'Deletes an agent; personal data goes at once.';
