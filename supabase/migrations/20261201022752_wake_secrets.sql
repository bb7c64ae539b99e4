-- Written by `npm run migration`: what supabase/schemas say beyond the migrations before.

set local lock_timeout = '10s';
set local statement_timeout = '5min';
set local search_path = 'pg_catalog';
set local check_function_bodies = 'off';

CREATE OR REPLACE FUNCTION private.agent_environment(of_agent text, of_generation bigint, token uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  if not exists (select from private.agent_deployments d
      where d.agent_id = of_agent and d.generation = of_generation and d.lease_token = token
        and d.desired <> 'absent') then
    perform private.raise_error('CONFLICT', 'No lease on this generation of this agent');
  end if;
  return private.read_environment(of_agent);
end
$function$;

CREATE OR REPLACE FUNCTION private.claim_deployments(of_worker text, max_count integer, lease_seconds integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  candidates text[];
  places tid[];
  answers jsonb;
  taken text[];
begin
  perform private.check_worker(of_worker, lease_seconds);
  perform private.raise_problems(private.problem_if(coalesce(max_count not between 1 and 500, true), 'max_count',
    'Must be between 1 and 500'));
  perform private.heartbeat(of_worker, lease_seconds, null);
  select coalesce(array_agg(x.agent_id), '{}'), coalesce(array_agg(x.place), '{}') into candidates, places from (
    select d.agent_id, d.ctid as place from private.agent_deployments d
    where d.agent_id = any (array(select c.agent_id from private.claimable(of_worker) c))
    -- What this worker already has in hand comes last, so that it cannot crowd out the rest.
    order by d.lease_holder is not distinct from of_worker and d.claimed_generation = d.generation, d.next_attempt_at
    limit max_count
    for update of d skip locked
  ) x;
  -- A statement of its own: it sees what other workers committed before the locks were taken, and rechecks. The rows
  -- are locked, so they are where they were.
  with leased as (
    update private.agent_deployments d set
      lease_token = case when d.lease_holder = of_worker then d.lease_token else gen_random_uuid() end,
      lease_holder = of_worker,
      claimed_generation = d.generation,
      timings = case when d.timings ? 'claimedAt' then d.timings
        else d.timings || jsonb_build_object('claimedAt', private.iso(clock_timestamp())) end
    where d.ctid = any (places) and d.agent_id = any (candidates)
      and d.agent_id = any (array(select c.agent_id from private.claimable(of_worker) c))
      and (d.lease_holder is distinct from of_worker or d.claimed_generation <> d.generation)
    returning d.agent_id, private.claim_answer(d) || private.environment_of_woken(d) as answer
  )
  select coalesce(jsonb_agg(l.answer), '[]'), coalesce(array_agg(l.agent_id), '{}') into answers, taken from leased l;
  -- What it had in hand already.
  return answers || (
    select coalesce(jsonb_agg(private.claim_answer(d)), '[]') from private.agent_deployments d
    where d.agent_id = any (array(select c from unnest(candidates) c except select t from unnest(taken) t))
      and d.lease_holder = of_worker
  );
end
$function$;

CREATE OR REPLACE FUNCTION private.environment_of_woken(d private.agent_deployments)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if d.phase <> 'WAKING' or d.desired <> 'running' then
    return '{}';
  end if;
  return jsonb_build_object('environment', private.read_environment(d.agent_id));
exception when others then
  return '{}';
end
$function$;

CREATE OR REPLACE FUNCTION private.read_environment(of_agent text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.record_secret_access(of_agent);
  return (
    select coalesce(jsonb_object_agg(s.name, v.decrypted_secret), '{}')
      -- Last: a name of the machinery, which no secret can take.
      || jsonb_strip_nulls(jsonb_build_object('AGENT_MESSAGE_KEY', private.message_key(of_agent)))
    from public.agent_secrets s join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = of_agent);
end
$function$;

REVOKE ALL ON FUNCTION "private"."environment_of_woken"(private.agent_deployments) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."environment_of_woken"(private.agent_deployments) TO "postgres";

REVOKE ALL ON FUNCTION "private"."read_environment"(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."read_environment"(text) TO "postgres";
