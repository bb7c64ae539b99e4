-- The schema of Auth as hosted projects have it (supabase/auth 2.196): types, tables, keys and indexes. Each statement
-- may run again, and brings what @supabase/lite made in a data folder of release 0.2.0 to the same form; its rows stay.

do $$
declare
  enum record;
begin
  for enum in select * from (values
    ('aal_level', array['aal1', 'aal2', 'aal3']),
    ('code_challenge_method', array['s256', 'plain']),
    ('factor_status', array['unverified', 'verified']),
    ('factor_type', array['totp', 'webauthn', 'phone']),
    ('oauth_authorization_status', array['pending', 'approved', 'denied', 'expired']),
    ('oauth_client_type', array['public', 'confidential']),
    ('oauth_registration_type', array['dynamic', 'manual']),
    ('oauth_response_type', array['code']),
    ('one_time_token_type', array[
      'confirmation_token',
      'reauthentication_token',
      'recovery_token',
      'email_change_token_new',
      'email_change_token_current',
      'phone_change_token'])
  ) as wanted (name, labels) loop
    if to_regtype('auth.' || enum.name) is null then
      execute format('create type auth.%I as enum (%s)', enum.name,
        (select string_agg(quote_literal(label), ', ' order by place)
          from unnest(enum.labels) with ordinality as l (label, place)));
    end if;
  end loop;
end
$$;

-- What lite typed otherwise.
create sequence if not exists auth.refresh_tokens_id_seq;
do $$
begin
  if (select atttypid = 'text'::regtype from pg_attribute
      where attrelid = to_regclass('auth.refresh_tokens') and attname = 'id') then
    alter table auth.refresh_tokens alter column id type bigint using nextval('auth.refresh_tokens_id_seq');
    alter table auth.sessions drop constraint if exists sessions_aal_check,
      alter column aal type auth.aal_level using aal::auth.aal_level;
    alter table auth.sessions drop constraint if exists sessions_scopes_check;
    alter table auth.flow_state drop constraint if exists flow_state_code_challenge_method_check,
      alter column code_challenge_method type auth.code_challenge_method
        using code_challenge_method::auth.code_challenge_method;
    alter table auth.refresh_tokens alter column user_id type varchar(255) using user_id::text;
    alter table auth.identities drop constraint if exists identities_provider_provider_id_key;
    drop index if exists auth.users_confirmation_token_idx, auth.users_recovery_token_idx,
      auth.users_email_change_token_current_idx, auth.users_email_change_token_new_idx,
      auth.users_reauthentication_token_idx, auth.refresh_tokens_token_idx, auth.refresh_tokens_user_id_idx,
      auth.identities_email_idx, auth.flow_state_created_at_idx;
    alter table auth.users alter column aud drop default, alter column role drop default,
      alter column raw_app_meta_data drop default, alter column raw_user_meta_data drop default,
      alter column created_at drop default, alter column updated_at drop default;
    alter table auth.sessions alter column created_at drop default, alter column updated_at drop default;
    alter table auth.refresh_tokens alter column created_at drop default, alter column updated_at drop default,
      alter column revoked drop default, alter column user_id drop not null, alter column token drop not null;
    alter table auth.identities alter column created_at drop default, alter column updated_at drop default,
      alter column identity_data drop default, drop column email;
    alter table auth.flow_state alter column created_at drop default, alter column updated_at drop default;
    update auth.audit_log_entries set ip_address = '' where ip_address is null;
    alter table auth.audit_log_entries alter column created_at drop default, alter column ip_address set not null;
  end if;
end
$$;

create table if not exists auth.instances ();
alter table auth.instances
  add column if not exists id uuid not null,
  add column if not exists uuid uuid,
  add column if not exists raw_base_config text,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz;

create table if not exists auth.users ();
alter table auth.users
  add column if not exists instance_id uuid,
  add column if not exists id uuid not null,
  add column if not exists aud varchar(255),
  add column if not exists role varchar(255),
  add column if not exists email varchar(255),
  add column if not exists encrypted_password varchar(255),
  add column if not exists email_confirmed_at timestamptz,
  add column if not exists invited_at timestamptz,
  add column if not exists confirmation_token varchar(255),
  add column if not exists confirmation_sent_at timestamptz,
  add column if not exists recovery_token varchar(255),
  add column if not exists recovery_sent_at timestamptz,
  add column if not exists email_change_token_new varchar(255),
  add column if not exists email_change varchar(255),
  add column if not exists email_change_sent_at timestamptz,
  add column if not exists last_sign_in_at timestamptz,
  add column if not exists raw_app_meta_data jsonb,
  add column if not exists raw_user_meta_data jsonb,
  add column if not exists is_super_admin boolean,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists phone text default NULL,
  add column if not exists phone_confirmed_at timestamptz,
  add column if not exists phone_change text default '',
  add column if not exists phone_change_token varchar(255) default '',
  add column if not exists phone_change_sent_at timestamptz,
  add column if not exists confirmed_at timestamptz generated always
    as (LEAST(email_confirmed_at, phone_confirmed_at)) stored,
  add column if not exists email_change_token_current varchar(255) default '',
  add column if not exists email_change_confirm_status smallint default 0,
  add column if not exists banned_until timestamptz,
  add column if not exists reauthentication_token varchar(255) default '',
  add column if not exists reauthentication_sent_at timestamptz,
  add column if not exists is_sso_user boolean default false not null,
  add column if not exists deleted_at timestamptz,
  add column if not exists is_anonymous boolean default false not null;

create table if not exists auth.oauth_clients ();
alter table auth.oauth_clients
  add column if not exists id uuid not null,
  add column if not exists client_secret_hash text,
  add column if not exists registration_type auth.oauth_registration_type not null,
  add column if not exists redirect_uris text not null,
  add column if not exists grant_types text not null,
  add column if not exists client_name text,
  add column if not exists client_uri text,
  add column if not exists logo_uri text,
  add column if not exists created_at timestamptz default now() not null,
  add column if not exists updated_at timestamptz default now() not null,
  add column if not exists deleted_at timestamptz,
  add column if not exists client_type auth.oauth_client_type default 'confidential'::auth.oauth_client_type not null,
  add column if not exists token_endpoint_auth_method text not null;

create table if not exists auth.sso_providers ();
alter table auth.sso_providers
  add column if not exists id uuid not null,
  add column if not exists resource_id text,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists disabled boolean;

create table if not exists auth.sessions ();
alter table auth.sessions
  add column if not exists id uuid not null,
  add column if not exists user_id uuid not null,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists factor_id uuid,
  add column if not exists aal auth.aal_level,
  add column if not exists not_after timestamptz,
  add column if not exists refreshed_at timestamp,
  add column if not exists user_agent text,
  add column if not exists ip inet,
  add column if not exists tag text,
  add column if not exists oauth_client_id uuid,
  add column if not exists refresh_token_hmac_key text,
  add column if not exists refresh_token_counter bigint,
  add column if not exists scopes text;

create table if not exists auth.audit_log_entries ();
alter table auth.audit_log_entries
  add column if not exists instance_id uuid,
  add column if not exists id uuid not null,
  add column if not exists payload json,
  add column if not exists created_at timestamptz,
  add column if not exists ip_address varchar(64) default '' not null;

create table if not exists auth.custom_oauth_providers ();
alter table auth.custom_oauth_providers
  add column if not exists id uuid default gen_random_uuid() not null,
  add column if not exists provider_type text not null,
  add column if not exists identifier text not null,
  add column if not exists name text not null,
  add column if not exists client_id text not null,
  add column if not exists client_secret text not null,
  add column if not exists acceptable_client_ids text[] default '{}'::text[] not null,
  add column if not exists scopes text[] default '{}'::text[] not null,
  add column if not exists pkce_enabled boolean default true not null,
  add column if not exists attribute_mapping jsonb default '{}'::jsonb not null,
  add column if not exists authorization_params jsonb default '{}'::jsonb not null,
  add column if not exists enabled boolean default true not null,
  add column if not exists email_optional boolean default false not null,
  add column if not exists issuer text,
  add column if not exists discovery_url text,
  add column if not exists skip_nonce_check boolean default false not null,
  add column if not exists cached_discovery jsonb,
  add column if not exists discovery_cached_at timestamptz,
  add column if not exists authorization_url text,
  add column if not exists token_url text,
  add column if not exists userinfo_url text,
  add column if not exists jwks_uri text,
  add column if not exists created_at timestamptz default now() not null,
  add column if not exists updated_at timestamptz default now() not null,
  add column if not exists custom_claims_allowlist text[] default '{}'::text[] not null;

create table if not exists auth.flow_state ();
alter table auth.flow_state
  add column if not exists id uuid not null,
  add column if not exists user_id uuid,
  add column if not exists auth_code text,
  add column if not exists code_challenge_method auth.code_challenge_method,
  add column if not exists code_challenge text,
  add column if not exists provider_type text not null,
  add column if not exists provider_access_token text,
  add column if not exists provider_refresh_token text,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists auth_code_issued_at timestamptz,
  add column if not exists invite_token text,
  add column if not exists referrer text,
  add column if not exists oauth_client_state_id uuid,
  add column if not exists linking_target_id uuid,
  add column if not exists email_optional boolean default false not null,
  add column if not exists authentication_method text not null;

create table if not exists auth.identities ();
alter table auth.identities
  add column if not exists provider_id text not null,
  add column if not exists user_id uuid not null,
  add column if not exists identity_data jsonb not null,
  add column if not exists provider text not null,
  add column if not exists last_sign_in_at timestamptz,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists email text generated always as (lower((identity_data ->> 'email'::text))) stored,
  add column if not exists id uuid default gen_random_uuid() not null;

create table if not exists auth.mfa_amr_claims ();
alter table auth.mfa_amr_claims
  add column if not exists session_id uuid not null,
  add column if not exists created_at timestamptz not null,
  add column if not exists updated_at timestamptz not null,
  add column if not exists authentication_method text not null,
  add column if not exists id uuid not null;

create table if not exists auth.mfa_challenges ();
alter table auth.mfa_challenges
  add column if not exists id uuid not null,
  add column if not exists factor_id uuid not null,
  add column if not exists created_at timestamptz not null,
  add column if not exists verified_at timestamptz,
  add column if not exists ip_address inet not null,
  add column if not exists otp_code text,
  add column if not exists web_authn_session_data jsonb;

create table if not exists auth.mfa_factors ();
alter table auth.mfa_factors
  add column if not exists id uuid not null,
  add column if not exists user_id uuid not null,
  add column if not exists friendly_name text,
  add column if not exists factor_type auth.factor_type not null,
  add column if not exists status auth.factor_status not null,
  add column if not exists created_at timestamptz not null,
  add column if not exists updated_at timestamptz not null,
  add column if not exists secret text,
  add column if not exists phone text,
  add column if not exists last_challenged_at timestamptz,
  add column if not exists web_authn_credential jsonb,
  add column if not exists web_authn_aaguid uuid,
  add column if not exists last_webauthn_challenge_data jsonb;

create table if not exists auth.oauth_authorizations ();
alter table auth.oauth_authorizations
  add column if not exists id uuid not null,
  add column if not exists authorization_id text not null,
  add column if not exists client_id uuid not null,
  add column if not exists user_id uuid,
  add column if not exists redirect_uri text not null,
  add column if not exists scope text not null,
  add column if not exists state text,
  add column if not exists resource text,
  add column if not exists code_challenge text,
  add column if not exists code_challenge_method auth.code_challenge_method,
  add column if not exists response_type auth.oauth_response_type default 'code'::auth.oauth_response_type not null,
  add column if not exists status auth.oauth_authorization_status default
    'pending'::auth.oauth_authorization_status not null,
  add column if not exists authorization_code text,
  add column if not exists created_at timestamptz default now() not null,
  add column if not exists expires_at timestamptz default (now() + '00:03:00'::interval) not null,
  add column if not exists approved_at timestamptz,
  add column if not exists nonce text;

create table if not exists auth.oauth_client_states ();
alter table auth.oauth_client_states
  add column if not exists id uuid not null,
  add column if not exists provider_type text not null,
  add column if not exists code_verifier text,
  add column if not exists created_at timestamptz not null;

create table if not exists auth.oauth_consents ();
alter table auth.oauth_consents
  add column if not exists id uuid not null,
  add column if not exists user_id uuid not null,
  add column if not exists client_id uuid not null,
  add column if not exists scopes text not null,
  add column if not exists granted_at timestamptz default now() not null,
  add column if not exists revoked_at timestamptz;

create table if not exists auth.one_time_tokens ();
alter table auth.one_time_tokens
  add column if not exists id uuid not null,
  add column if not exists user_id uuid not null,
  add column if not exists token_type auth.one_time_token_type not null,
  add column if not exists token_hash text not null,
  add column if not exists relates_to text not null,
  add column if not exists created_at timestamp default now() not null,
  add column if not exists updated_at timestamp default now() not null;

create table if not exists auth.refresh_tokens ();
alter table auth.refresh_tokens
  add column if not exists instance_id uuid,
  add column if not exists id bigint default nextval('auth.refresh_tokens_id_seq') not null,
  add column if not exists token varchar(255),
  add column if not exists user_id varchar(255),
  add column if not exists revoked boolean,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists parent varchar(255),
  add column if not exists session_id uuid;

create table if not exists auth.saml_providers ();
alter table auth.saml_providers
  add column if not exists id uuid not null,
  add column if not exists sso_provider_id uuid not null,
  add column if not exists entity_id text not null,
  add column if not exists metadata_xml text not null,
  add column if not exists metadata_url text,
  add column if not exists attribute_mapping jsonb,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists name_id_format text;

create table if not exists auth.saml_relay_states ();
alter table auth.saml_relay_states
  add column if not exists id uuid not null,
  add column if not exists sso_provider_id uuid not null,
  add column if not exists request_id text not null,
  add column if not exists for_email text,
  add column if not exists redirect_to text,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists flow_state_id uuid;

create table if not exists auth.schema_migrations ();
alter table auth.schema_migrations
  add column if not exists version varchar(255) not null;

create table if not exists auth.sso_domains ();
alter table auth.sso_domains
  add column if not exists id uuid not null,
  add column if not exists sso_provider_id uuid not null,
  add column if not exists domain text not null,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz;

create table if not exists auth.webauthn_challenges ();
alter table auth.webauthn_challenges
  add column if not exists id uuid default gen_random_uuid() not null,
  add column if not exists user_id uuid,
  add column if not exists challenge_type text not null,
  add column if not exists session_data jsonb not null,
  add column if not exists created_at timestamptz default now() not null,
  add column if not exists expires_at timestamptz not null;

create table if not exists auth.webauthn_credentials ();
alter table auth.webauthn_credentials
  add column if not exists id uuid default gen_random_uuid() not null,
  add column if not exists user_id uuid not null,
  add column if not exists credential_id bytea not null,
  add column if not exists public_key bytea not null,
  add column if not exists attestation_type text default ''::text not null,
  add column if not exists aaguid uuid,
  add column if not exists sign_count bigint default 0 not null,
  add column if not exists transports jsonb default '[]'::jsonb not null,
  add column if not exists backup_eligible boolean default false not null,
  add column if not exists backed_up boolean default false not null,
  add column if not exists friendly_name text default ''::text not null,
  add column if not exists created_at timestamptz default now() not null,
  add column if not exists updated_at timestamptz default now() not null,
  add column if not exists last_used_at timestamptz;

alter sequence auth.refresh_tokens_id_seq owned by auth.refresh_tokens.id;
alter table auth.users alter column phone set default NULL,
  alter column phone_change set default '',
  alter column phone_change_token set default '',
  alter column email_change_token_current set default '',
  alter column email_change_confirm_status set default 0,
  alter column reauthentication_token set default '',
  alter column is_sso_user set default false,
  alter column is_anonymous set default false;
alter table auth.refresh_tokens alter column id set default nextval('auth.refresh_tokens_id_seq');
alter table auth.identities alter column id set default gen_random_uuid();
alter table auth.audit_log_entries alter column ip_address set default '';
alter table auth.flow_state alter column email_optional set default false;

-- A constraint of that name that is there already stays.
do $$
declare
  wanted record;
begin
  for wanted in select * from (values
    ('instances', 'instances_pkey', 'primary key (id)'),
    ('users', 'users_pkey', 'primary key (id)'),
    ('oauth_clients', 'oauth_clients_pkey', 'primary key (id)'),
    ('sso_providers', 'sso_providers_pkey', 'primary key (id)'),
    ('sessions', 'sessions_pkey', 'primary key (id)'),
    ('audit_log_entries', 'audit_log_entries_pkey', 'primary key (id)'),
    ('custom_oauth_providers', 'custom_oauth_providers_pkey', 'primary key (id)'),
    ('flow_state', 'flow_state_pkey', 'primary key (id)'),
    ('identities', 'identities_pkey', 'primary key (id)'),
    ('mfa_amr_claims', 'amr_id_pk', 'primary key (id)'),
    ('mfa_challenges', 'mfa_challenges_pkey', 'primary key (id)'),
    ('mfa_factors', 'mfa_factors_pkey', 'primary key (id)'),
    ('oauth_authorizations', 'oauth_authorizations_pkey', 'primary key (id)'),
    ('oauth_client_states', 'oauth_client_states_pkey', 'primary key (id)'),
    ('oauth_consents', 'oauth_consents_pkey', 'primary key (id)'),
    ('one_time_tokens', 'one_time_tokens_pkey', 'primary key (id)'),
    ('refresh_tokens', 'refresh_tokens_pkey', 'primary key (id)'),
    ('saml_providers', 'saml_providers_pkey', 'primary key (id)'),
    ('saml_relay_states', 'saml_relay_states_pkey', 'primary key (id)'),
    ('schema_migrations', 'schema_migrations_pkey', 'primary key (version)'),
    ('sso_domains', 'sso_domains_pkey', 'primary key (id)'),
    ('webauthn_challenges', 'webauthn_challenges_pkey', 'primary key (id)'),
    ('webauthn_credentials', 'webauthn_credentials_pkey', 'primary key (id)'),
    ('users', 'users_phone_key', 'unique (phone)'),
    ('custom_oauth_providers', 'custom_oauth_providers_identifier_key', 'unique (identifier)'),
    ('identities', 'identities_provider_id_provider_unique', 'unique (provider_id, provider)'),
    ('mfa_amr_claims', 'mfa_amr_claims_session_id_authentication_method_pkey',
      'unique (session_id, authentication_method)'),
    ('mfa_factors', 'mfa_factors_last_challenged_at_key', 'unique (last_challenged_at)'),
    ('oauth_authorizations', 'oauth_authorizations_authorization_code_key', 'unique (authorization_code)'),
    ('oauth_authorizations', 'oauth_authorizations_authorization_id_key', 'unique (authorization_id)'),
    ('oauth_consents', 'oauth_consents_user_client_unique', 'unique (user_id, client_id)'),
    ('refresh_tokens', 'refresh_tokens_token_unique', 'unique (token)'),
    ('saml_providers', 'saml_providers_entity_id_key', 'unique (entity_id)'),
    ('users', 'users_email_change_confirm_status_check',
      'check (((email_change_confirm_status >= 0) AND (email_change_confirm_status <= 2)))'),
    ('oauth_clients', 'oauth_clients_client_name_length', 'check ((char_length(client_name) <= 1024))'),
    ('oauth_clients', 'oauth_clients_client_uri_length', 'check ((char_length(client_uri) <= 2048))'),
    ('oauth_clients', 'oauth_clients_logo_uri_length', 'check ((char_length(logo_uri) <= 2048))'),
    ('oauth_clients', 'oauth_clients_token_endpoint_auth_method_check',
      'check ((token_endpoint_auth_method = ANY (ARRAY[''client_secret_basic'', ''client_secret_post'', ''none''])))'),
    ('sso_providers', 'resource_id not empty', 'check (((resource_id = NULL) OR (char_length(resource_id) > 0)))'),
    ('sessions', 'sessions_scopes_length', 'check ((char_length(scopes) <= 4096))'),
    ('custom_oauth_providers', 'custom_oauth_providers_authorization_url_https',
      'check (((authorization_url IS NULL) OR (authorization_url ~~ ''https://%'')))'),
    ('custom_oauth_providers', 'custom_oauth_providers_authorization_url_length',
      'check (((authorization_url IS NULL) OR (char_length(authorization_url) <= 2048)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_client_id_length',
      'check (((char_length(client_id) >= 1) AND (char_length(client_id) <= 512)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_discovery_url_length',
      'check (((discovery_url IS NULL) OR (char_length(discovery_url) <= 2048)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_identifier_format',
      'check ((identifier ~ ''^[a-z0-9][a-z0-9:-]{0,48}[a-z0-9]$''))'),
    ('custom_oauth_providers', 'custom_oauth_providers_issuer_length',
      'check (((issuer IS NULL) OR ((char_length(issuer) >= 1) AND (char_length(issuer) <= 2048))))'),
    ('custom_oauth_providers', 'custom_oauth_providers_jwks_uri_https',
      'check (((jwks_uri IS NULL) OR (jwks_uri ~~ ''https://%'')))'),
    ('custom_oauth_providers', 'custom_oauth_providers_jwks_uri_length',
      'check (((jwks_uri IS NULL) OR (char_length(jwks_uri) <= 2048)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_name_length',
      'check (((char_length(name) >= 1) AND (char_length(name) <= 100)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_oauth2_requires_endpoints',
      'check (((provider_type <> ''oauth2'') OR ((authorization_url IS NOT NULL) AND (token_url IS NOT NULL) AND '
        '(userinfo_url IS NOT NULL))))'),
    ('custom_oauth_providers', 'custom_oauth_providers_oidc_discovery_url_https',
      'check (((provider_type <> ''oidc'') OR (discovery_url IS NULL) OR (discovery_url ~~ ''https://%'')))'),
    ('custom_oauth_providers', 'custom_oauth_providers_oidc_issuer_https',
      'check (((provider_type <> ''oidc'') OR (issuer IS NULL) OR (issuer ~~ ''https://%'')))'),
    ('custom_oauth_providers', 'custom_oauth_providers_oidc_requires_issuer',
      'check (((provider_type <> ''oidc'') OR (issuer IS NOT NULL)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_provider_type_check',
      'check ((provider_type = ANY (ARRAY[''oauth2'', ''oidc''])))'),
    ('custom_oauth_providers', 'custom_oauth_providers_token_url_https',
      'check (((token_url IS NULL) OR (token_url ~~ ''https://%'')))'),
    ('custom_oauth_providers', 'custom_oauth_providers_token_url_length',
      'check (((token_url IS NULL) OR (char_length(token_url) <= 2048)))'),
    ('custom_oauth_providers', 'custom_oauth_providers_userinfo_url_https',
      'check (((userinfo_url IS NULL) OR (userinfo_url ~~ ''https://%'')))'),
    ('custom_oauth_providers', 'custom_oauth_providers_userinfo_url_length',
      'check (((userinfo_url IS NULL) OR (char_length(userinfo_url) <= 2048)))'),
    ('oauth_authorizations', 'oauth_authorizations_authorization_code_length',
      'check ((char_length(authorization_code) <= 255))'),
    ('oauth_authorizations', 'oauth_authorizations_code_challenge_length',
      'check ((char_length(code_challenge) <= 128))'),
    ('oauth_authorizations', 'oauth_authorizations_expires_at_future', 'check ((expires_at > created_at))'),
    ('oauth_authorizations', 'oauth_authorizations_nonce_length', 'check ((char_length(nonce) <= 255))'),
    ('oauth_authorizations', 'oauth_authorizations_redirect_uri_length',
      'check ((char_length(redirect_uri) <= 2048))'),
    ('oauth_authorizations', 'oauth_authorizations_resource_length', 'check ((char_length(resource) <= 2048))'),
    ('oauth_authorizations', 'oauth_authorizations_scope_length', 'check ((char_length(scope) <= 4096))'),
    ('oauth_authorizations', 'oauth_authorizations_state_length', 'check ((char_length(state) <= 4096))'),
    ('oauth_consents', 'oauth_consents_revoked_after_granted',
      'check (((revoked_at IS NULL) OR (revoked_at >= granted_at)))'),
    ('oauth_consents', 'oauth_consents_scopes_length', 'check ((char_length(scopes) <= 2048))'),
    ('oauth_consents', 'oauth_consents_scopes_not_empty', 'check ((char_length(TRIM(BOTH FROM scopes)) > 0))'),
    ('one_time_tokens', 'one_time_tokens_token_hash_check', 'check ((char_length(token_hash) > 0))'),
    ('saml_providers', 'entity_id not empty', 'check ((char_length(entity_id) > 0))'),
    ('saml_providers', 'metadata_url not empty', 'check (((metadata_url = NULL) OR (char_length(metadata_url) > 0)))'),
    ('saml_providers', 'metadata_xml not empty', 'check ((char_length(metadata_xml) > 0))'),
    ('saml_relay_states', 'request_id not empty', 'check ((char_length(request_id) > 0))'),
    ('sso_domains', 'domain not empty', 'check ((char_length(domain) > 0))'),
    ('webauthn_challenges', 'webauthn_challenges_challenge_type_check',
      'check ((challenge_type = ANY (ARRAY[''signup'', ''registration'', ''authentication''])))'),
    ('sessions', 'sessions_oauth_client_id_fkey',
      'foreign key (oauth_client_id) references auth.oauth_clients(id) on delete cascade'),
    ('sessions', 'sessions_user_id_fkey', 'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('identities', 'identities_user_id_fkey', 'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('mfa_amr_claims', 'mfa_amr_claims_session_id_fkey',
      'foreign key (session_id) references auth.sessions(id) on delete cascade'),
    ('mfa_challenges', 'mfa_challenges_auth_factor_id_fkey',
      'foreign key (factor_id) references auth.mfa_factors(id) on delete cascade'),
    ('mfa_factors', 'mfa_factors_user_id_fkey', 'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('oauth_authorizations', 'oauth_authorizations_client_id_fkey',
      'foreign key (client_id) references auth.oauth_clients(id) on delete cascade'),
    ('oauth_authorizations', 'oauth_authorizations_user_id_fkey',
      'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('oauth_consents', 'oauth_consents_client_id_fkey',
      'foreign key (client_id) references auth.oauth_clients(id) on delete cascade'),
    ('oauth_consents', 'oauth_consents_user_id_fkey',
      'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('one_time_tokens', 'one_time_tokens_user_id_fkey',
      'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('refresh_tokens', 'refresh_tokens_session_id_fkey',
      'foreign key (session_id) references auth.sessions(id) on delete cascade'),
    ('saml_providers', 'saml_providers_sso_provider_id_fkey',
      'foreign key (sso_provider_id) references auth.sso_providers(id) on delete cascade'),
    ('saml_relay_states', 'saml_relay_states_flow_state_id_fkey',
      'foreign key (flow_state_id) references auth.flow_state(id) on delete cascade'),
    ('saml_relay_states', 'saml_relay_states_sso_provider_id_fkey',
      'foreign key (sso_provider_id) references auth.sso_providers(id) on delete cascade'),
    ('sso_domains', 'sso_domains_sso_provider_id_fkey',
      'foreign key (sso_provider_id) references auth.sso_providers(id) on delete cascade'),
    ('webauthn_challenges', 'webauthn_challenges_user_id_fkey',
      'foreign key (user_id) references auth.users(id) on delete cascade'),
    ('webauthn_credentials', 'webauthn_credentials_user_id_fkey',
      'foreign key (user_id) references auth.users(id) on delete cascade')
  ) as c (on_table, name, definition) loop
    if not exists (select from pg_constraint p where p.conname = wanted.name
        and p.conrelid = ('auth.' || wanted.on_table)::regclass) then
      execute format('alter table auth.%I add constraint %I %s', wanted.on_table, wanted.name, wanted.definition);
    end if;
  end loop;
end
$$;

create index if not exists audit_logs_instance_id_idx on auth.audit_log_entries (instance_id);
create index if not exists custom_oauth_providers_created_at_idx on auth.custom_oauth_providers (created_at);
create index if not exists custom_oauth_providers_enabled_idx on auth.custom_oauth_providers (enabled);
create index if not exists custom_oauth_providers_identifier_idx on auth.custom_oauth_providers (identifier);
create index if not exists custom_oauth_providers_provider_type_idx
  on auth.custom_oauth_providers (provider_type);
create index if not exists flow_state_created_at_idx on auth.flow_state (created_at desc);
create index if not exists idx_auth_code on auth.flow_state (auth_code);
create index if not exists identities_email_idx on auth.identities (email text_pattern_ops);
create index if not exists identities_user_id_idx on auth.identities (user_id);
create index if not exists mfa_challenge_created_at_idx on auth.mfa_challenges (created_at desc);
create index if not exists factor_id_created_at_idx on auth.mfa_factors (user_id, created_at);
create unique index if not exists mfa_factors_user_friendly_name_unique
  on auth.mfa_factors (friendly_name, user_id) where (btrim(friendly_name) <> '');
create index if not exists mfa_factors_user_id_idx on auth.mfa_factors (user_id);
create unique index if not exists unique_phone_factor_per_user on auth.mfa_factors (user_id, phone);
create index if not exists oauth_auth_pending_exp_idx
  on auth.oauth_authorizations (expires_at) where (status = 'pending'::auth.oauth_authorization_status);
create index if not exists idx_oauth_client_states_created_at on auth.oauth_client_states (created_at);
create index if not exists oauth_clients_deleted_at_idx on auth.oauth_clients (deleted_at);
create index if not exists oauth_consents_active_client_idx
  on auth.oauth_consents (client_id) where (revoked_at is null);
create index if not exists oauth_consents_active_user_client_idx
  on auth.oauth_consents (user_id, client_id) where (revoked_at is null);
create index if not exists oauth_consents_user_order_idx on auth.oauth_consents (user_id, granted_at desc);
create index if not exists one_time_tokens_relates_to_hash_idx on auth.one_time_tokens using hash (relates_to);
create index if not exists one_time_tokens_token_hash_hash_idx on auth.one_time_tokens using hash (token_hash);
create unique index if not exists one_time_tokens_user_id_token_type_key
  on auth.one_time_tokens (user_id, token_type);
create index if not exists refresh_tokens_instance_id_idx on auth.refresh_tokens (instance_id);
create index if not exists refresh_tokens_instance_id_user_id_idx
  on auth.refresh_tokens (instance_id, user_id);
create index if not exists refresh_tokens_parent_idx on auth.refresh_tokens (parent);
create index if not exists refresh_tokens_session_id_revoked_idx on auth.refresh_tokens (session_id, revoked);
create index if not exists refresh_tokens_updated_at_idx on auth.refresh_tokens (updated_at desc);
create index if not exists saml_providers_sso_provider_id_idx on auth.saml_providers (sso_provider_id);
create index if not exists saml_relay_states_created_at_idx on auth.saml_relay_states (created_at desc);
create index if not exists saml_relay_states_for_email_idx on auth.saml_relay_states (for_email);
create index if not exists saml_relay_states_sso_provider_id_idx on auth.saml_relay_states (sso_provider_id);
create index if not exists sessions_not_after_idx on auth.sessions (not_after desc);
create index if not exists sessions_oauth_client_id_idx on auth.sessions (oauth_client_id);
create index if not exists sessions_user_id_idx on auth.sessions (user_id);
create index if not exists user_id_created_at_idx on auth.sessions (user_id, created_at);
create unique index if not exists sso_domains_domain_idx on auth.sso_domains (lower(domain));
create index if not exists sso_domains_sso_provider_id_idx on auth.sso_domains (sso_provider_id);
create unique index if not exists sso_providers_resource_id_idx on auth.sso_providers (lower(resource_id));
create index if not exists sso_providers_resource_id_pattern_idx
  on auth.sso_providers (resource_id text_pattern_ops);
create unique index if not exists confirmation_token_idx
  on auth.users (confirmation_token) where ((confirmation_token) !~ '^[0-9 ]*$');
create unique index if not exists email_change_token_current_idx
  on auth.users (email_change_token_current) where ((email_change_token_current) !~ '^[0-9 ]*$');
create unique index if not exists email_change_token_new_idx
  on auth.users (email_change_token_new) where ((email_change_token_new) !~ '^[0-9 ]*$');
create unique index if not exists reauthentication_token_idx
  on auth.users (reauthentication_token) where ((reauthentication_token) !~ '^[0-9 ]*$');
create unique index if not exists recovery_token_idx
  on auth.users (recovery_token) where ((recovery_token) !~ '^[0-9 ]*$');
create unique index if not exists users_email_partial_key on auth.users (email) where (is_sso_user = false);
create index if not exists users_instance_id_email_idx on auth.users (instance_id, lower((email)));
create index if not exists users_instance_id_idx on auth.users (instance_id);
create index if not exists users_is_anonymous_idx on auth.users (is_anonymous);
create index if not exists webauthn_challenges_expires_at_idx on auth.webauthn_challenges (expires_at);
create index if not exists webauthn_challenges_user_id_idx on auth.webauthn_challenges (user_id);
create unique index if not exists webauthn_credentials_credential_id_key
  on auth.webauthn_credentials (credential_id);
create index if not exists webauthn_credentials_user_id_idx on auth.webauthn_credentials (user_id);
create index if not exists idx_user_id_auth_method on auth.flow_state (user_id, authentication_method);
