-- The hint to the controller: a signed webhook on each new generation, and a sweep that nudges again.
-- Losing any of them costs latency, never work: the controller also claims on a timer.
-- Vault holds launchpad_controller_url and launchpad_webhook_secret; where they are missing, nothing is sent.

-- Queues one signed POST to the address and with the secret that Vault holds under these
-- names; silent where one is missing.
-- pg_net's queue is readable by any role with SQL, so it carries a signature, never a secret.
create function private.post_signed(url_name text, secret_name text, path text, body jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  base_url text;
  secret text;
  sent_at text := extract(epoch from clock_timestamp())::bigint::text;
begin
  select max(s.decrypted_secret) filter (where s.name = url_name),
         max(s.decrypted_secret) filter (where s.name = secret_name)
    into base_url, secret
    from vault.decrypted_secrets s where s.name in (url_name, secret_name);
  if base_url is null or secret is null then
    return;
  end if;
  perform net.http_post(
    url := rtrim(base_url, '/') || path,
    body := body,
    headers := jsonb_build_object('Content-Type', 'application/json', 'X-Launchpad-Timestamp', sent_at,
      'X-Launchpad-Signature', 'v1='
        || encode(extensions.hmac(sent_at || '.' || body::text, secret, 'sha256'), 'hex')));
exception when others then
  -- A hint must not fail the write it speaks of.
  raise warning 'launchpad: % was not notified: %', url_name, sqlerrm;
end
$$;
comment on function private.post_signed(text, text, text, jsonb) is 'Queues one signed hint; never fails its caller.';

create function private.post_to_controller(body jsonb) returns void
language plpgsql volatile set search_path = '' as $$
declare
  ignored text;
begin
  ignored := private.post_signed('launchpad_controller_url', 'launchpad_webhook_secret', '/webhooks/deployments', body);
end
$$;

-- Definer: reads Vault.
create function private.tg_agent_deployments__notify() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- Takes what is assigned rather than performed (see foundation).
  ignored text;
begin
  ignored := private.post_to_controller(jsonb_build_object('agentId', new.agent_id, 'generation', new.generation,
    'reason', lower(new.phase)));
  return null;
end
$$;
create trigger _900_notify_insert after insert on private.agent_deployments
  for each row execute function private.tg_agent_deployments__notify();
create trigger _900_notify_update after update of generation on private.agent_deployments
  for each row when (new.generation <> old.generation) execute function private.tg_agent_deployments__notify();

-- Nudges again while something has waited for more than five seconds without a living holder.
create function private.sweep_deployments() returns void
language plpgsql volatile set search_path = '' as $$
begin
  if exists (select from private.claimable('') c where c.updated_at < now() - interval '5 seconds') then
    perform private.post_to_controller('{"reason": "sweep"}');
  end if;
end
$$;

create index agent_logs_timestamp_idx on public.agent_logs using brin ("timestamp");
create index agent_metrics_timestamp_idx on public.agent_metrics using brin ("timestamp");

select cron.schedule('launchpad-sweep', '10 seconds', 'select private.sweep_deployments()');
-- pg_cron notes every run and forgets none: the sweep alone makes 8640 rows a day.
select cron.schedule('launchpad-cron-history', '43 * * * *',
  $$delete from cron.job_run_details where end_time < now() - interval '1 day'$$);

-- Functions made by a role that is not covered by the default privileges would still be executable by PUBLIC.
revoke execute on all functions in schema private from public;
