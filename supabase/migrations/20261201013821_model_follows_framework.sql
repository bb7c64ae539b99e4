-- Written by `npm run migration`: what supabase/schemas say beyond the migrations before.

set local lock_timeout = '10s';
set local statement_timeout = '5min';
set local search_path = 'pg_catalog';
set local check_function_bodies = 'off';

CREATE OR REPLACE FUNCTION private.model_follows(before public.agents, new_framework text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return new_framework <> before.framework
    and exists (select from public.frameworks f where f.name = before.framework and f.default_model = before.model)
    and not exists (select from public.models m where m.framework = new_framework and m.name = before.model);
end
$function$;

CREATE OR REPLACE FUNCTION private.tg_agents__model_of_framework()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  if new.model is not distinct from old.model and private.model_follows(old, new.framework) then
    new.model := null;
  end if;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION private.verb_update_agent(caller uuid, args jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  before public.agents := private.own_agent(caller, args ->> 'agent_id');
  base public.agents := before;
  after public.agents;
  changes jsonb := coalesce(args -> 'changes', 'null');
  changed_secrets text[];
  changed text[];
  deployed boolean;
  event_id text;
  changed_database_url boolean := false;
begin
  if before.deleted_at is not null then
    perform private.raise_error('CONFLICT', 'This agent is being deleted', '{"phase": "DELETING"}');
  end if;
  if jsonb_typeof(changes -> 'framework') = 'string' and not changes ? 'model'
      and private.model_follows(before, changes ->> 'framework') then
    base.model := null;
  end if;
  after := private.check_definition(base, changes, false);
  if changes = '{}' then
    perform private.raise_error('VALIDATION_ERROR', 'Invalid request body',
      '{"body": "Must name at least one field to change"}');
  end if;
  perform from private.agent_deployments d where d.agent_id = before.id for update;
  deployed := found;
  perform private.raise_problems(private.character_secret_problems(changes -> 'character'));
  -- Secrets of a character file are an environment; what the environment says itself wins.
  changed_secrets := private.apply_environment(before.id, caller,
    private.character_secrets(changes -> 'character') || coalesce(nullif(changes -> 'environment', 'null'), '{}'));
  after."character" := private.without_secrets(after."character");
  if after.supabase_config ? 'database_url' then
    changed_database_url := case when jsonb_typeof(after.supabase_config -> 'database_url') = 'string'
      then private.store_secret(before.id, caller, 'SUPABASE_DB_URL', after.supabase_config ->> 'database_url')
      else private.remove_secret(before.id, 'SUPABASE_DB_URL') end;
    after.supabase_config := after.supabase_config - 'database_url';
  end if;
  if changes -> 'resources' ->> 'memory' is null then
    after.resources := private.resources_for_plugins(before, after);
  end if;
  after := private.write_agent(after);
  select array_agg(split_part(f, '.', 1)) into changed from unnest(private.changed_fields(before, after)) f;
  event_id := private.follow_change(before, after, 'user:' || caller);
  if after.visibility <> before.visibility then
    event_id := private.record_visibility(before, after, 'user:' || caller);
  end if;
  event_id := coalesce(event_id, private.record_event(before.id, caller, 'UPDATED', 'user:' || caller,
    case when deployed then 'Nothing that runs was changed' else 'Definition changed' end));
  return jsonb_build_object('agentId', before.id, 'user_id', caller,
    'status', coalesce(private.verb_answer(before.id, event_id, '{}') ->> 'status', upper(after.status)),
    'changes_applied', (
      select coalesce(jsonb_object_agg(k, case k
        when 'environment' then changed_secrets <> '{}'
        else coalesce(k = any (changed), false) or k = 'supabase_config' and changed_database_url end), '{}')
      from jsonb_object_keys(changes) k
      where not exists (select from private.agent_fields f where f.field = k and f.effect = 'shown')),
    'supabase_event_id', event_id, 'updatedAt', private.iso(after.updated_at));
end
$function$;

CREATE TRIGGER _091_model_of_framework BEFORE UPDATE OF framework ON public.agents FOR EACH ROW WHEN ((new.id IS DISTINCT FROM current_setting('launchpad.written_by_verb'::text, true))) EXECUTE FUNCTION private.tg_agents__model_of_framework();

REVOKE ALL ON FUNCTION "private"."model_follows"(public.agents, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."model_follows"(public.agents, text) TO "postgres";

REVOKE ALL ON FUNCTION "private"."tg_agents__model_of_framework"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."tg_agents__model_of_framework"() TO "postgres";
