-- Where the database's signed calls go: to the controller (the webhook) and to the function `respond`. One call each,
-- by an operator in the SQL editor or psql, or by `launchpad doctor --fix`; a call again changes what differs.

-- Stores a secret of Vault under its name, or replaces it; true where something changed.
create function private.put_vault_secret(secret_name text, value text, about text) returns boolean
language plpgsql volatile set search_path = '' as $$
declare
  known record;
begin
  perform pg_advisory_xact_lock(hashtextextended('launchpad_vault/' || secret_name, 0));
  select s.id, s.decrypted_secret into known from vault.decrypted_secrets s where s.name = secret_name;
  if not found then
    perform vault.create_secret(value, secret_name, about);
  elsif known.decrypted_secret is distinct from value then
    perform vault.update_secret(known.id, value);
  else
    return false;
  end if;
  return true;
end
$$;
comment on function private.put_vault_secret(text, text, text) is 'Stores or replaces one secret of Vault by its name.';

-- A connection is an address and what signs the calls to it. A secret left out stays; where there is none, one is made
-- and answered this once, because the other side must be given it. Raises VALIDATION_ERROR.
create function private.connect(url_name text, secret_name text, url text, secret text, about text) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  made text;
  new_url boolean;
  new_secret boolean := false;
begin
  perform private.raise_problems(
    private.problem_if(coalesce(url !~ '^https?://[^[:space:]/]+', true),
      'url', 'Must be an address such as https://controller.example.com')
    || private.problem_if(secret is not null and length(secret) < 16, 'secret', 'Must have at least 16 characters'));
  if secret is null and not exists (select from vault.decrypted_secrets s where s.name = secret_name) then
    made := encode(extensions.gen_random_bytes(32), 'hex');
  end if;
  new_url := private.put_vault_secret(url_name, rtrim(url, '/'), 'Where ' || about || ' is called');
  if coalesce(secret, made) is not null then
    new_secret := private.put_vault_secret(secret_name, coalesce(secret, made), 'Signs the calls of ' || about);
  end if;
  return jsonb_strip_nulls(jsonb_build_object('url', rtrim(url, '/'), 'url_changed', new_url,
    'secret_changed', new_secret,
    'secret', made));
end
$$;
comment on function private.connect(text, text, text, text, text) is 'Puts an address and its secret into Vault.';

-- For operators: the controller's address, and its LAUNCHPAD_WEBHOOK_SECRET.
create function private.connect_controller(url text, secret text default null) returns jsonb
language sql volatile set search_path = ''
return private.connect('launchpad_controller_url', 'launchpad_webhook_secret', url, secret, 'the controller');
comment on function private.connect_controller(text, text) is
  'For operators: where the controller receives webhooks, and what signs them.';

-- For operators: the address of the project's functions, and the LAUNCHPAD_RESPOND_SECRET of the function `respond`.
create function private.connect_functions(url text, secret text default null) returns jsonb
language sql volatile set search_path = ''
return private.connect('launchpad_functions_url', 'launchpad_respond_secret', url, secret, 'the function respond');
comment on function private.connect_functions(text, text) is
  'For operators: where edge functions are called, and what signs the calls.';

revoke execute on all functions in schema private from public;
