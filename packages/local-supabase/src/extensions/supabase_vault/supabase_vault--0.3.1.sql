-- The SQL interface of supabase_vault. Hosted encrypts with libsodium and a key that only the server process reads. Here:
-- AES-256-CBC, then HMAC-SHA256 over id, nonce and ciphertext (pgcrypto), with keys derived from the file vault.key, which
-- lies beside the data folder, is readable by the server's account alone, and is read by definer functions at each use.
-- So neither a dump, nor a row, nor a copy of the data folder without that file reveals a secret. A superuser can read all.

-- The master key. Definer: only the server's superuser may read files. Executable by nobody else.
create function vault._key(purpose text) returns bytea
language plpgsql stable security definer set search_path = '' as $$
declare
  master bytea := pg_catalog.pg_read_binary_file('../vault.key', 0, 32, true);
begin
  if master is null or pg_catalog.length(master) <> 32 then
    raise exception 'the Vault key file is missing or damaged' using
      hint = 'Restore vault.key beside the data folder; secrets written with another key cannot be read.';
  end if;
  return @extschema:pgcrypto@.hmac(pg_catalog.convert_to(purpose, 'UTF8'), master, 'sha256');
end
$$;
revoke all on function vault._key(text) from public;

create function vault._crypto_aead_det_noncegen() returns bytea
language sql volatile set search_path = '' as $$ select @extschema:pgcrypto@.gen_random_bytes(16) $$;

-- Definer: reads the key.
create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
) returns bytea language plpgsql stable security definer set search_path = '' as $$
declare
  cipher bytea := @extschema:pgcrypto@.encrypt_iv(message, vault._key('encrypt'), nonce, 'aes-cbc/pad:pkcs');
begin
  return cipher || @extschema:pgcrypto@.hmac(additional || nonce || cipher, vault._key('authenticate'), 'sha256');
end
$$;

-- Definer: reads the key. Raises when the text or its row was altered, or the key is another one.
create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
) returns bytea language plpgsql stable security definer set search_path = '' as $$
declare
  size int := pg_catalog.length(message) - 32;
  cipher bytea := pg_catalog.substr(message, 1, size);
begin
  if size < 16 or pg_catalog.substr(message, size + 1)
    is distinct from @extschema:pgcrypto@.hmac(additional || nonce || cipher, vault._key('authenticate'), 'sha256') then
    raise exception 'the secret cannot be decrypted: it was altered, or written with another key' using errcode = '22000';
  end if;
  return @extschema:pgcrypto@.decrypt_iv(cipher, vault._key('encrypt'), nonce, 'aes-cbc/pad:pkcs');
end
$$;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
create unique index secrets_name_idx on vault.secrets (name) where name is not null;
comment on table vault.secrets is 'Table with encrypted `secret` column for storing sensitive information on disk.';

create view vault.decrypted_secrets as
select s.id, s.name, s.description, s.secret,
  convert_from(
    vault._crypto_aead_det_decrypt(decode(s.secret, 'base64'), convert_to(s.id::text, 'utf8'), 0, 'pgsodium', s.nonce),
    'utf8') as decrypted_secret,
  s.key_id, s.nonce, s.created_at, s.updated_at
from vault.secrets s;

-- Definer: hosted lets `postgres` call this without INSERT on the table.
create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid language plpgsql volatile security definer set search_path = '' as $$
declare
  new_id uuid := pg_catalog.gen_random_uuid();
  new_nonce bytea := vault._crypto_aead_det_noncegen();
begin
  insert into vault.secrets (id, name, description, secret, nonce)
  values (new_id, new_name, new_description, pg_catalog.encode(vault._crypto_aead_det_encrypt(
    pg_catalog.convert_to(new_secret, 'utf8'), pg_catalog.convert_to(new_id::text, 'utf8'), 0, 'pgsodium', new_nonce), 'base64'),
    new_nonce);
  return new_id;
end
$$;

-- Definer, as above. A new text gets a new nonce. A null argument leaves its column as it is.
create function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null, new_description text default null, new_key_id uuid default null
) returns void language plpgsql volatile security definer set search_path = '' as $$
declare
  new_nonce bytea := vault._crypto_aead_det_noncegen();
begin
  update vault.secrets s set
    nonce = case when new_secret is null then s.nonce else new_nonce end,
    secret = case when new_secret is null then s.secret else pg_catalog.encode(vault._crypto_aead_det_encrypt(
      pg_catalog.convert_to(new_secret, 'utf8'), pg_catalog.convert_to(s.id::text, 'utf8'), 0, 'pgsodium', new_nonce), 'base64') end,
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = pg_catalog.now()
  where s.id = secret_id;
end
$$;

revoke all on all functions in schema vault from public;
grant usage on schema vault to postgres with grant option;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
grant execute on function vault.create_secret(text, text, text, uuid),
  vault.update_secret(uuid, text, text, text, uuid),
  vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea) to postgres with grant option;
