-- What is kept of an agent's figures and lines: rollups of metrics, text search on logs, and the job that deletes.

insert into private.verbs (name, permission, status, idempotent) values
  ('get_agent_logs', 'monitoring:read', 200, false),
  ('get_agent_metrics', 'monitoring:read', 200, false);

-- One row per agent and minute, all replicas together. usage: the replicas' means added up;
-- max: the highest single sample;
-- network and requests: what was added in that minute, whatever the counters of a replica began with.
create table public.agent_metrics_minute (
  agent_id text not null,
  user_id uuid not null,
  "timestamp" timestamptz not null,
  samples integer not null,
  replicas integer not null,
  cpu_usage double precision,
  cpu_max double precision,
  cpu_limit double precision,
  memory_usage bigint,
  memory_max bigint,
  memory_limit bigint,
  network_in bigint,
  network_out bigint,
  requests_total bigint,
  requests_success bigint,
  requests_errors bigint,
  response_time_ms double precision,
  constraint agent_metrics_minute_pkey primary key (agent_id, "timestamp")
);
alter table public.agent_metrics_minute enable row level security;
create index agent_metrics_minute_user_id_idx on public.agent_metrics_minute (user_id, agent_id, "timestamp" desc);
create index agent_metrics_minute_timestamp_idx on public.agent_metrics_minute using brin ("timestamp");
create statistics public.agent_metrics_minute_agent_user (dependencies) on agent_id, user_id
  from public.agent_metrics_minute;
grant select on public.agent_metrics_minute to authenticated, service_role;
create policy "owners can read their metrics by the minute" on public.agent_metrics_minute for select to authenticated
  using (user_id = (select private.reader('monitoring:read') limit private.one_row()));
comment on table public.agent_metrics_minute is 'Metrics of an agent rolled up by the minute.';

-- The same by the hour, from the minutes.
create table public.agent_metrics_hour (
  like public.agent_metrics_minute including defaults,
  constraint agent_metrics_hour_pkey primary key (agent_id, "timestamp")
);
alter table public.agent_metrics_hour enable row level security;
create index agent_metrics_hour_user_id_idx on public.agent_metrics_hour (user_id, agent_id, "timestamp" desc);
create index agent_metrics_hour_timestamp_idx on public.agent_metrics_hour using brin ("timestamp");
create statistics public.agent_metrics_hour_agent_user (dependencies) on agent_id, user_id
  from public.agent_metrics_hour;
grant select on public.agent_metrics_hour to authenticated, service_role;
create policy "owners can read their metrics by the hour" on public.agent_metrics_hour for select to authenticated
  using (user_id = (select private.reader('monitoring:read') limit private.one_row()));
comment on table public.agent_metrics_hour is 'Metrics of an agent rolled up by the hour; kept for 400 days.';

-- Minutes that have samples not yet rolled up. A late sample (the controller's spool) puts its minute here again.
create table private.metrics_to_roll (
  agent_id text not null,
  minute timestamptz not null,
  constraint metrics_to_roll_pkey primary key (agent_id, minute)
);
alter table private.metrics_to_roll enable row level security;
comment on table private.metrics_to_roll is 'Minutes whose rollup is to be made (again).';

-- Definer: whoever stores samples has no rights here. `do update` locks a mark that is there already, so that a roll-up
-- that runs meanwhile waits for these samples instead of taking the mark without them. Locked in one order.
create function private.tg_agent_metrics__mark() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.metrics_to_roll as m (agent_id, minute)
  select distinct n.agent_id, date_trunc('minute', n."timestamp") from added n order by 1, 2
  on conflict (agent_id, minute) do update set minute = excluded.minute;
  return null;
end
$$;
create trigger _500_mark after insert on public.agent_metrics referencing new table as added
  for each statement execute function private.tg_agent_metrics__mark();

-- The minutes of one agent, computed anew from its samples. Idempotent.
create function private.roll_up_minutes(of_agent text, minutes timestamptz[]) returns void
language sql volatile set search_path = '' as $$
  with samples as (
    select m.*, w.minute
    from unnest(minutes) as w (minute)
    join public.agent_metrics m on m.agent_id = of_agent
      and m."timestamp" >= w.minute and m."timestamp" < w.minute + interval '1 minute'
  ), by_replica as (
    select s.minute, s.replica, min(s.user_id::text)::uuid as user_id, count(*) as samples,
      avg(s.cpu_usage) as cpu_usage, max(s.cpu_usage) as cpu_max, max(s.cpu_limit) as cpu_limit,
      avg(s.memory_usage) as memory_usage, max(s.memory_usage) as memory_max, max(s.memory_limit) as memory_limit,
      max(s.network_in) as network_in, max(s.network_out) as network_out, max(s.requests_total) as requests_total,
      max(s.requests_success) as requests_success, max(s.requests_errors) as requests_errors,
      avg(s.response_time_ms) as response_time_ms
    from samples s group by s.minute, s.replica
  ), with_before as (
    -- What the replica's counters showed before this minute; a new replica began at 0.
    select r.*, b.network_in as in_before, b.network_out as out_before, b.requests_total as total_before,
      b.requests_success as success_before, b.requests_errors as errors_before
    from by_replica r
    left join lateral (
      select * from public.agent_metrics m
      where m.agent_id = of_agent and m.replica = r.replica and m."timestamp" < r.minute
        and m."timestamp" >= r.minute - interval '10 minutes'
      order by m."timestamp" desc limit 1
    ) b on true
  )
  insert into public.agent_metrics_minute as t
  select of_agent, min(user_id::text)::uuid, minute, sum(samples), count(*), sum(cpu_usage), max(cpu_max),
    sum(cpu_limit),
    sum(memory_usage), max(memory_max), sum(memory_limit),
    sum(greatest(0, network_in - coalesce(in_before, 0))), sum(greatest(0, network_out - coalesce(out_before, 0))),
    sum(greatest(0, requests_total - coalesce(total_before, 0))),
      sum(greatest(0, requests_success - coalesce(success_before, 0))),
    sum(greatest(0, requests_errors - coalesce(errors_before, 0))), avg(response_time_ms)
  from with_before group by minute
  on conflict (agent_id, "timestamp") do update set
    samples = excluded.samples, replicas = excluded.replicas, cpu_usage = excluded.cpu_usage,
      cpu_max = excluded.cpu_max,
    cpu_limit = excluded.cpu_limit, memory_usage = excluded.memory_usage, memory_max = excluded.memory_max,
    memory_limit = excluded.memory_limit, network_in = excluded.network_in, network_out = excluded.network_out,
    requests_total = excluded.requests_total, requests_success = excluded.requests_success,
    requests_errors = excluded.requests_errors, response_time_ms = excluded.response_time_ms
$$;

-- The hours of one agent, computed anew from its minutes. Idempotent.
create function private.roll_up_hours(of_agent text, hours timestamptz[]) returns void
language sql volatile set search_path = '' as $$
  insert into public.agent_metrics_hour as t
  select of_agent, min(m.user_id::text)::uuid, w.hour, sum(m.samples), max(m.replicas), avg(m.cpu_usage),
    max(m.cpu_max),
    max(m.cpu_limit), avg(m.memory_usage), max(m.memory_max), max(m.memory_limit), sum(m.network_in),
      sum(m.network_out),
    sum(m.requests_total), sum(m.requests_success), sum(m.requests_errors), avg(m.response_time_ms)
  from unnest(hours) as w (hour)
  join public.agent_metrics_minute m on m.agent_id = of_agent
    and m."timestamp" >= w.hour and m."timestamp" < w.hour + interval '1 hour'
  group by w.hour
  on conflict (agent_id, "timestamp") do update set
    samples = excluded.samples, replicas = excluded.replicas, cpu_usage = excluded.cpu_usage,
      cpu_max = excluded.cpu_max,
    cpu_limit = excluded.cpu_limit, memory_usage = excluded.memory_usage, memory_max = excluded.memory_max,
    memory_limit = excluded.memory_limit, network_in = excluded.network_in, network_out = excluded.network_out,
    requests_total = excluded.requests_total, requests_success = excluded.requests_success,
    requests_errors = excluded.requests_errors, response_time_ms = excluded.response_time_ms
$$;

-- Called by pg_cron each minute. Takes up to `batch` marks and computes their minutes and hours. Returns how many.
create function private.roll_up_metrics(batch integer default 5000) returns integer
language plpgsql volatile set search_path = '' as $$
declare
  work record;
  taken integer := 0;
  minutes timestamptz[];
begin
  for work in
    with gone as (
      delete from private.metrics_to_roll m where (m.agent_id, m.minute) in (
        select x.agent_id, x.minute from private.metrics_to_roll x order by x.agent_id, x.minute limit batch)
      returning m.agent_id, m.minute
    )
    select g.agent_id, array_agg(g.minute) as minutes from gone g group by g.agent_id
  loop
    taken := taken + cardinality(work.minutes);
    -- A minute after a late one counted from the wrong start.
    select array_agg(distinct w) into minutes from (
      select unnest(work.minutes) as w
      union select m."timestamp" from public.agent_metrics_minute m
        where m.agent_id = work.agent_id and m."timestamp" - interval '1 minute' = any (work.minutes)) x;
    perform private.roll_up_minutes(work.agent_id, minutes);
    perform private.roll_up_hours(work.agent_id,
      (select array_agg(distinct date_trunc('hour', w)) from unnest(minutes) as w));
  end loop;
  return taken;
end
$$;
comment on function private.roll_up_metrics(integer) is 'Rolls up marked minutes; run by pg_cron.';

-- Deletes what is past retention: up to `batches` statements of `batch` rows each for logs and for metrics, so that one
-- run's locks and WAL stay bounded (about 350 bytes of WAL a row). By ctid and without an order: the BRIN index on the
-- time finds the oldest pages, and a run that finds nothing reads a few pages and writes nothing.
create function private.delete_expired(batch integer default 5000, batches integer default 10) returns bigint
language plpgsql volatile set search_path = '' as $$
declare
  oldest timestamptz := now() - make_interval(days => private.retention_days());
  deleted bigint := 0;
  n bigint;
begin
  for i in 1 .. batches loop
    delete from public.agent_logs where ctid = any (array(
      select l.ctid from public.agent_logs l where l."timestamp" < oldest limit batch));
    get diagnostics n = row_count;
    deleted := deleted + n;
    exit when n < batch;
  end loop;
  for i in 1 .. batches loop
    delete from public.agent_metrics where ctid = any (array(
      select m.ctid from public.agent_metrics m where m."timestamp" < oldest limit batch));
    get diagnostics n = row_count;
    deleted := deleted + n;
    exit when n < batch;
  end loop;
  delete from public.agent_metrics_minute where ctid = any (array(
    select m.ctid from public.agent_metrics_minute m
    where m."timestamp" < now() - make_interval(days => private.retention_days('minute_rollups')) limit batch));
  delete from public.agent_metrics_hour where ctid = any (array(
    select m.ctid from public.agent_metrics_hour m
    where m."timestamp" < now() - make_interval(days => private.retention_days('hour_rollups')) limit batch));
  for i in 1 .. batches loop
    delete from public.answer_steps where ctid = any (array(
      select s.ctid from public.answer_steps s where s.started_at < oldest limit batch));
    get diagnostics n = row_count;
    deleted := deleted + n;
    exit when n < batch;
  end loop;
  delete from private.agent_deployments d where d.removed_at < oldest;
  delete from private.idempotency_keys k where k.created_at < now() - interval '1 day';
  delete from private.controllers c where c.expires_at < now() - interval '1 day';
  delete from private.rate_counters c where c.window_start < now() - interval '1 day';
  delete from private.api_counters c where greatest(c.api_starts, c.burst_starts) < now() - interval '1 day';
  return deleted;
end
$$;
comment on function private.delete_expired(integer, integer) is
  'Deletes records past retention, in bounded batches; run by pg_cron.';

select cron.schedule('launchpad-rollup', '* * * * *', 'select private.roll_up_metrics()');
select cron.schedule('launchpad-retention', '*/10 * * * *', 'select private.delete_expired()');

-- '45s', '30m', '1h', '2d' → an interval; null for null.
create function private.span(words text) returns interval
language sql immutable set search_path = ''
return make_interval(secs => left(words, -1)::double precision
  * case right(words, 1) when 's' then 1 when 'm' then 60 when 'h' then 3600 else 86400 end);

-- Why new lines of an agent are not here, as its controller says; null where they are.
create function private.logs_notice(of_agent text) returns text
language sql stable set search_path = ''
return (
  select case c.report ->> 'logs'
    when 'otlp' then 'New log lines go to the OpenTelemetry collector of this installation, not here. Its operator can '
      || 'tell you where to read them.'
    when 'off' then 'New log lines are collected by the cluster, not here. Its operator can tell you where to read '
      || 'them.' end
  from private.controllers c left join private.agent_deployments d on d.agent_id = of_agent
  where c.heartbeat_at > now() - interval '1 day'
  order by (c.worker = d.lease_holder) desc nulls last, c.heartbeat_at desc limit 1
);

-- GET /api/agents/{id}/logs: the newest `lines`, oldest first; with a cursor the newest before it. totalLines counts
-- all that match, up to 10000.
-- `text` is looked for in the messages of the newest 50000 lines that the other filters leave: a trigram index would
-- make every ingested row dearer for a rare question (ADR 60). `search` says how far the look
-- went; nextCursor goes on from there.
create function private.verb_get_agent_logs(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  wanted text := private.own_telemetry(caller, args ->> 'agent_id');
  most integer := coalesce((args ->> 'lines')::integer, 100);
  since text := args ->> 'since';
  wanted_level text := upper(args ->> 'level');
  needle text := args ->> 'text';
  depth constant integer := 50000;
  binding text := private.list_binding('logs', caller, jsonb_build_array(wanted, since, wanted_level, needle));
  last_seen text[];
  newest timestamptz := 'infinity';
  oldest timestamptz := '-infinity';
  ids text[];
  -- The line that the next page begins after: the last one shown, or the last one that a search looked at.
  last_id text;
  next_cursor text;
  scanned integer;
  total integer;
  logs jsonb;
  notice text := private.logs_notice(wanted);
begin
  perform private.raise_query_problems(
    private.problem_if(most not between 1 and 1000, 'lines', 'Must be a whole number from 1 to 1000')
    || private.problem_if(since !~ '^[0-9]{1,5}[smhd]$', 'since', 'Must be a duration such as 45s, 30m, 1h or 2d')
    || private.problem_if(wanted_level not in ('DEBUG', 'INFO', 'WARN', 'ERROR'),
      'level', 'Must be DEBUG, INFO, WARN or ERROR')
    || private.problem_if(length(needle) not between 1 and 200, 'text', 'Must be 1 to 200 characters'));
  last_seen := private.cursor_keys(args ->> 'after', binding, '{timestamptz,bigint,text}');
  newest := coalesce(last_seen[1]::timestamptz, newest);
  if since is not null then
    oldest := now() - private.span(since);
  end if;
  if needle is null then
    select array_agg(l.id order by l."timestamp" desc, l.sequence desc, l.id desc) into ids from (
      select x.id, x."timestamp", x.sequence from public.agent_logs x
      where x.agent_id = wanted and x.user_id = caller and x."timestamp" >= oldest
        and x."timestamp" <= newest and (x."timestamp" < newest or (x.sequence, x.id) < (last_seen[2]::bigint,
          last_seen[3]))
        and (wanted_level is null or x.level = wanted_level)
      order by x."timestamp" desc, x.sequence desc, x.id desc limit most + 1) l;
    select count(*) into total from (
      select from public.agent_logs x
      where x.agent_id = wanted and x.user_id = caller and x."timestamp" >= oldest
        and (wanted_level is null or x.level = wanted_level) limit 10000) l;
  else
    needle := '%' || replace(replace(replace(needle, '\', '\\'), '%', '\%'), '_', '\_') || '%';
    select count(*), count(*) filter (where l.hit),
      (array_agg(l.id order by l.place) filter (where l.hit))[1 : most + 1],
        max(l.id) filter (where l.place = depth)
      into scanned, total, ids, last_id
      from (
        select x.id, x.message ilike needle as hit, row_number() over () as place
        from (
          select y.id, y.message from public.agent_logs y
          where y.agent_id = wanted and y.user_id = caller and y."timestamp" >= oldest
            and y."timestamp" <= newest and (y."timestamp" < newest or (y.sequence, y.id) < (last_seen[2]::bigint,
              last_seen[3]))
            and (wanted_level is null or y.level = wanted_level)
          order by y."timestamp" desc, y.sequence desc, y.id desc limit depth) x) l;
  end if;
  if cardinality(ids) > most then
    last_id := ids[most];
    ids := ids[1 : most];
  end if;
  if last_id is not null then
    select private.cursor_of(binding, jsonb_build_array(private.moment_key(l."timestamp"), l.sequence::text, l.id))
      into next_cursor
      from public.agent_logs l where l.id = last_id;
  end if;
  select coalesce(jsonb_agg(jsonb_build_object('id', l.id, 'timestamp', private.iso(l."timestamp"), 'level', l.level,
      'message', l.message, 'source', l.source, 'metadata', l.metadata || jsonb_build_object('pod', l.replica))
      order by l."timestamp", l.sequence, l.id), '[]')
    into logs from public.agent_logs l where l.id = any (ids);
  return jsonb_build_object('agentId', wanted, 'user_id', caller, 'logs', logs, 'totalLines', total,
    'truncated', next_cursor is not null, 'nextCursor', next_cursor,
    'real_time_available', notice is null and private.is_published('public.agent_logs'))
    || case when notice is null then '{}' else jsonb_build_object('notice', notice) end
    || case when scanned is null then '{}'
       else jsonb_build_object('search', jsonb_build_object('scanned', scanned, 'complete', scanned < depth)) end;
end
$$;

create function public.get_agent_logs(agent_id text, lines integer default 100, since text default null,
  level text default null, "text" text default null, "after" text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('get_agent_logs', jsonb_build_object('agent_id', agent_id, 'lines', lines, 'since', since,
    'level', level, 'text', "text", 'after', "after"));
end $$;
revoke execute on function public.get_agent_logs(text, integer, text, text, text, text) from public, anon, service_role;
grant execute on function public.get_agent_logs(text, integer, text, text, text, text) to authenticated;
comment on function public.get_agent_logs(text, integer, text, text, text, text) is
  'The newest log lines of an agent; `text` looks for words in them.';

-- Points of the past, oldest first. Raises VALIDATION_ERROR. A month is 720 rows by the hour.
create function private.metrics_history(caller uuid, wanted text, "range" text, resolution text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  sound boolean := "range" is null or "range" ~ '^[0-9]{1,5}[smhd]$';
  wanted_span interval := case when sound
    then private.span(coalesce("range", case resolution when 'minute' then '1h' else '24h' end)) end;
  by_minute boolean := coalesce(resolution = 'minute', wanted_span <= interval '6 hours');
  points jsonb;
begin
  perform private.raise_query_problems(
    private.problem_if(not sound, 'range', 'Must be a duration such as 30m, 6h or 30d')
    || private.problem_if(resolution not in ('minute', 'hour'), 'resolution', 'Must be minute or hour')
    || private.problem_if(sound and wanted_span not between interval '1 minute' and interval '400 days', 'range',
         'Must be between 1m and 400d')
    || private.problem_if(sound and resolution = 'minute' and wanted_span > interval '1 day', 'resolution',
         'Must be hour for more than 1d'));
  select coalesce(jsonb_agg(jsonb_build_object('timestamp', private.iso(m."timestamp"), 'replicas', m.replicas,
      'samples', m.samples,
      'cpu', jsonb_build_object('usage', round(m.cpu_usage::numeric, 4), 'max', round(m.cpu_max::numeric, 4),
        'limit', m.cpu_limit),
      'memory', jsonb_build_object('usage', m.memory_usage, 'max', m.memory_max, 'limit', m.memory_limit),
      'network', jsonb_build_object('bytesIn', m.network_in, 'bytesOut', m.network_out),
      'requests', jsonb_build_object('total', coalesce(m.requests_total, 0), 'success', coalesce(m.requests_success, 0),
        'errors', coalesce(m.requests_errors, 0)),
      'responseTimeMs', round(m.response_time_ms::numeric, 2)) order by m."timestamp"), '[]')
    into points
    from (
      select * from public.agent_metrics_minute x where by_minute and x.agent_id = wanted and x.user_id = caller
        and x."timestamp" >= date_trunc('minute', now() - wanted_span)
      union all
      select * from public.agent_metrics_hour x where not by_minute and x.agent_id = wanted and x.user_id = caller
        and x."timestamp" >= date_trunc('hour', now() - wanted_span)
    ) m;
  return jsonb_build_object('resolution', case when by_minute then 'minute' else 'hour' end, 'points', points);
end
$$;

-- GET /api/agents/{id}/metrics: the newest sample of each replica seen in the last two minutes, summed; with `range` or
-- `resolution` also what was. Figures of a replica are summed only where it told them: null is not zero.
create function private.verb_get_agent_metrics(caller uuid, args jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  wanted text := private.own_telemetry(caller, args ->> 'agent_id');
  history jsonb;
begin
  if args ->> 'range' is not null or args ->> 'resolution' is not null then
    history := private.metrics_history(caller, wanted, args ->> 'range', lower(args ->> 'resolution'));
  end if;
  return (
    select jsonb_build_object('agentId', wanted, 'user_id', caller, 'replicas', count(*),
      'metrics', jsonb_build_object(
        'cpu', jsonb_build_object('usage', round(sum(m.cpu_usage)::numeric, 4), 'limit', sum(m.cpu_limit),
          'percentage', round((100 * sum(m.cpu_usage) / nullif(sum(m.cpu_limit), 0))::numeric, 1)),
        'memory', jsonb_build_object('usage', sum(m.memory_usage), 'limit', sum(m.memory_limit),
          'percentage', round(100 * sum(m.memory_usage) / nullif(sum(m.memory_limit), 0), 1)),
        'network', jsonb_build_object('bytesIn', sum(m.network_in), 'bytesOut', sum(m.network_out)),
        'requests', jsonb_build_object('total', coalesce(sum(m.requests_total), 0),
          'success', coalesce(sum(m.requests_success), 0),
          'errors', coalesce(sum(m.requests_errors), 0), 'rate', coalesce(round(sum(m.request_rate)::numeric, 2), 0)),
        'supabase', private.supabase_usage(caller)),
      'timestamp', private.iso(coalesce(max(m."timestamp"), now())))
    from (
      select distinct on (x.replica) * from public.agent_metrics x
      where x.agent_id = wanted and x.user_id = caller
        -- The replicas of one round of samples: what ended before the newest round is not running now.
        and x."timestamp" > greatest(now() - interval '2 minutes', (
          select max(y."timestamp") - interval '10 seconds' from public.agent_metrics y
          where y.agent_id = wanted and y.user_id = caller))
      order by x.replica, x."timestamp" desc
    ) m
  ) || case when history is null then '{}' else jsonb_build_object('history', history) end;
end
$$;

create function public.get_agent_metrics(agent_id text, "range" text default null,
  resolution text default null) returns json
language plpgsql volatile set search_path = '' as $$
begin
  return private.handle('get_agent_metrics', jsonb_build_object('agent_id', agent_id, 'range', "range",
    'resolution', resolution));
end $$;
revoke execute on function public.get_agent_metrics(text, text, text) from public, anon, service_role;
grant execute on function public.get_agent_metrics(text, text, text) to authenticated;
comment on function public.get_agent_metrics(text, text, text) is
  'What an agent''s replicas use now, and with a range what they used.';
