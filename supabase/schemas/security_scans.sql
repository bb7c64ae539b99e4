-- What security scans keep: results, patterns of secrets, packages in use and their advisories.

create table public.security_scans (
  id text primary key default 'scan-' || private.random_base32(12),
  agent_id text not null,
  user_id uuid not null,
  status text not null,
  passed boolean not null,
  -- As in the answer: vulnerabilities by severity, recommendations, supabase_compliance, sources.
  results jsonb not null,
  -- [{check, source, severity, title, recommendation, location?, package?, version?, url?}];
  -- source: posture, npm, trivy.
  findings jsonb not null default '[]',
  scanned_at timestamptz not null default now(),
  constraint security_scans_status_known check (status in ('RUNNING', 'COMPLETED', 'FAILED'))
);
alter table public.security_scans enable row level security;
create index security_scans_user_id_scanned_at_idx on public.security_scans (user_id, scanned_at desc);
create index security_scans_agent_id_scanned_at_idx on public.security_scans (agent_id, scanned_at desc);
grant select on public.security_scans to authenticated, service_role;
create policy "users can read their scans" on public.security_scans for select to authenticated
  using (user_id = (select private.reader('monitoring:read') limit private.one_row()));
comment on table public.security_scans is 'Every security scan of an agent with its findings.';

-- Operators set it per user: a deployment with critical findings is refused.
alter table public.quotas add column block_critical_findings boolean not null default false;
comment on column public.quotas.block_critical_findings is
  'Refuse deployments with critical findings (SECURITY_SCAN_FAILED).';
insert into private.security_settings (name, value, description) values
  ('block_critical_findings', 'false', 'The same for every user.'),
  ('advisories', '{"recheck_hours": 24, "retry_hours": 1, "stale_days": 7}',
   'How often a package is looked up, how soon after a failure, and when an answer is too old to rely on.');

-- Texts that are secrets by their form. A match is never repeated: a finding names the kind and the place.
create table private.secret_patterns (
  kind text primary key,
  pattern text not null,
  severity text not null,
  constraint secret_patterns_severity_known check (severity in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL'))
);
alter table private.secret_patterns enable row level security;
comment on table private.secret_patterns is 'Forms of secrets that do not belong in a definition.';
insert into private.secret_patterns (kind, pattern, severity) values
  ('AWS access key', '\m(AKIA|ASIA)[0-9A-Z]{16}\M', 'CRITICAL'),
  ('private key', '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----', 'CRITICAL'),
  ('OpenAI or Anthropic key', '\msk-[A-Za-z0-9_-]{20,}', 'CRITICAL'),
  ('GitHub token', '\m(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})', 'CRITICAL'),
  ('Supabase secret key', '\m(sb_secret_[A-Za-z0-9_-]{20,}|sbp_[a-f0-9]{40})', 'CRITICAL'),
  ('Stripe key', '\m(sk|rk)_live_[A-Za-z0-9]{16,}', 'CRITICAL'),
  ('agent key', '\mlp_[A-Za-z0-9_-]{43}', 'HIGH'),
  ('Google API key', '\mAIza[0-9A-Za-z_-]{35}', 'HIGH'),
  ('Slack token', '\mxox[abeprs]-[A-Za-z0-9-]{10,}', 'HIGH'),
  ('JSON Web Token', '\meyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}', 'HIGH'),
  ('password in a URL', '\m[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@', 'HIGH'),
  ('Discord bot token', '\m[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}', 'HIGH'),
  -- What stands behind a name is judged by the name, which may be part of a longer one
  -- (DB_PASSWORD, botToken); not a placeholder.
  ('password or key in words',
    '(?i)\m\w*(password|passwd|secret|api[_-]?key|(access|auth|bot|'
      'refresh)[_-]?token)\M\s*[:=]\s*["'']?(?!\{\{)[^\s"'']{8,}', 'MEDIUM'),
  ('password or key by its name',
    '(?i)["''][\w .-]*(password|passwd|passphrase|secret|api[_ -]?key|private[_ '
      '-]?key|token|credentials?|authorization)\\*["'']\s*:\s*\\*["''](?!\{\{)[^"'']{4,}',
    'MEDIUM');

-- The packages that the runtime ships with, as the function `upkeep` of this release names them. set_name: model (every
-- agent) or eliza (agents with plugins of elizaOS). Sole writer: claim_advisories.
create table private.runtime_packages (
  set_name text not null,
  package text not null,
  version text not null,
  install_script boolean not null default false,
  seen_at timestamptz not null default now(),
  constraint runtime_packages_pkey primary key (set_name, package, version),
  constraint runtime_packages_set_known check (set_name in ('model', 'eliza'))
);
alter table private.runtime_packages enable row level security;
comment on table private.runtime_packages is 'Packages of the agent runtime, by exact version.';

-- When a package was last looked up, and with what outcome. Writers: record_advisories; record_plugins asks.
create table private.package_checks (
  package text not null,
  version text not null,
  -- The last answer; null: never one.
  checked_at timestamptz,
  attempted_at timestamptz not null default now(),
  error text,
  -- When an installation last waited for it (plugin_rules.require_advisory_free).
  requested_at timestamptz,
  constraint package_checks_pkey primary key (package, version)
);
alter table private.package_checks enable row level security;
comment on table private.package_checks is 'Look-ups of packages in the advisory source.';

-- Known vulnerabilities. source: npm (a package's advisory, for every agent that runs it) or trivy (a report of a
-- cluster on one agent's image).
create table private.advisories (
  source text not null,
  advisory_id text not null,
  package text not null,
  version text not null,
  agent_id text not null default '',
  severity text not null,
  title text not null,
  url text,
  vulnerable_versions text,
  recorded_at timestamptz not null default now(),
  constraint advisories_pkey primary key (package, version, source, advisory_id, agent_id),
  constraint advisories_source_known check (source in ('npm', 'trivy')),
  constraint advisories_severity_known check (severity in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL'))
);
alter table private.advisories enable row level security;
create index advisories_agent_id_idx on private.advisories (agent_id) where agent_id <> '';
comment on table private.advisories is 'Known vulnerabilities of packages in use.';

-- Scans of agents that are gone go with the rest of what they leave behind.
create function private.forget_scans() returns void
language sql volatile set search_path = '' as $$
  delete from public.security_scans s
  where s.scanned_at < now() - make_interval(days => private.retention_days())
    and not exists (select from public.agents a where a.id = s.agent_id)
$$;
select cron.schedule('launchpad-forget-scans', '47 3 * * *', 'select private.forget_scans()');
