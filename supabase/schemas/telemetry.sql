-- Metrics, logs and conversations of agents. Unpartitioned, because clients subscribe to them through Realtime.

create sequence private.agent_log_number;

create table public.agent_logs (
  id text primary key default 'log-' || nextval('private.agent_log_number'),
  agent_id text not null,
  user_id uuid not null,
  "timestamp" timestamptz not null,
  level text not null,
  message text not null,
  source text not null,
  metadata jsonb not null default '{}',
  -- Deduplication of what the controller ships at least once.
  replica text not null,
  sequence bigint not null,
  constraint agent_logs_level_known check (level in ('DEBUG', 'INFO', 'WARN', 'ERROR')),
  constraint agent_logs_agent_id_replica_sequence_key unique (agent_id, replica, sequence)
);
alter table public.agent_logs enable row level security;
-- Owner first, because row-level security asks for the owner, then the agent, then the time: the newest 100 lines are
-- one walk of this index (104 buffers among 5M rows). An index on user_id alone beside one on agent_id invites the
-- planner to intersect the two, as if they were independent, and to read all of an agent's
-- lines (1008 buffers for 1000 of them).
create index agent_logs_user_id_agent_id_timestamp_idx on public.agent_logs (user_id, agent_id, "timestamp" desc);
-- The planner multiplies the selectivities of agent_id and user_id, though one follows from the other
-- (latest 100 of 5M rows under RLS: 12.5 ms without this, 0.47 ms with it).
create statistics public.agent_logs_agent_user (dependencies) on agent_id, user_id from public.agent_logs;
grant select on public.agent_logs to authenticated, service_role;
create policy "owners can read their logs" on public.agent_logs for select to authenticated
  using (user_id = (select private.reader('monitoring:read') limit private.one_row()));
comment on table public.agent_logs is 'Log lines of agents, kept for 30 days.';

create table public.agent_metrics (
  id bigint generated always as identity primary key,
  agent_id text not null,
  user_id uuid not null,
  "timestamp" timestamptz not null,
  replica text not null,
  sequence bigint not null,
  -- Cores and bytes; null where the operating system does not tell.
  cpu_usage double precision,
  cpu_limit double precision,
  memory_usage bigint,
  memory_limit bigint,
  network_in bigint,
  network_out bigint,
  requests_total bigint,
  requests_success bigint,
  requests_errors bigint,
  request_rate double precision,
  response_time_ms double precision,
  constraint agent_metrics_agent_id_replica_sequence_key unique (agent_id, replica, sequence)
);
alter table public.agent_metrics enable row level security;
create index agent_metrics_agent_id_timestamp_idx on public.agent_metrics (agent_id, "timestamp" desc);
create index agent_metrics_user_id_agent_id_timestamp_idx on public.agent_metrics (user_id, agent_id, "timestamp" desc);
create statistics public.agent_metrics_agent_user (dependencies) on agent_id, user_id from public.agent_metrics;
grant select on public.agent_metrics to authenticated, service_role;
create policy "owners can read their metrics" on public.agent_metrics for select to authenticated
  using (user_id = (select private.reader('monitoring:read') limit private.one_row()));
comment on table public.agent_metrics is 'Samples of what each replica uses, kept for 30 days.';

create table public.agent_conversations (
  id uuid primary key default gen_random_uuid(),
  agent_id text not null references public.agents (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  conversation_id uuid not null,
  role text not null,
  content text not null,
  created_at timestamptz not null default now(),
  constraint agent_conversations_role_known check (role in ('user', 'assistant', 'system', 'tool'))
);
alter table public.agent_conversations enable row level security;
create index agent_conversations_agent_id_idx on public.agent_conversations (agent_id, conversation_id, created_at);
create index agent_conversations_user_id_idx on public.agent_conversations (user_id);
grant select on public.agent_conversations to authenticated;
grant select, insert, update, delete on public.agent_conversations to service_role;
create policy "owners can read their conversations" on public.agent_conversations for select to authenticated
  using (user_id = (select private.reader('agents:read') limit private.one_row()));
comment on table public.agent_conversations is 'What people and an agent said to each other; goes with the agent.';

alter publication supabase_realtime add table public.agents, public.agent_events, public.agent_metrics,
  public.agent_logs;

-- Operators change a line with an UPDATE; it counts at the next run. (Hosted `postgres` may not set parameters of our
-- own on the database, so a table it is.)
create table private.retention (
  kind text primary key,
  days integer not null,
  constraint retention_positive check (days between 1 and 36500)
);
alter table private.retention enable row level security;
comment on table private.retention is 'Days that each kind of record is kept.';
insert into private.retention (kind, days) values ('telemetry', 30), ('minute_rollups', 30), ('hour_rollups', 400);

create function private.retention_days(of_kind text) returns integer
language sql stable set search_path = ''
return (select r.days from private.retention r where r.kind = of_kind);

-- Logs, metrics and removed deployments.
create function private.retention_days() returns integer
language sql stable set search_path = ''
return coalesce(nullif(current_setting('launchpad.retention_days', true), '')::integer,
  private.retention_days('telemetry'));
