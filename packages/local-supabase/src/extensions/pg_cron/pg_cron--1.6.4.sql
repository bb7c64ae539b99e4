-- The SQL half of pg_cron. Jobs stand in cron.job; workers/cron-worker.ts runs them as their user, and hears of every
-- change through NOTIFY.

create schema cron;

create sequence cron.jobid_seq;
create sequence cron.runid_seq;

create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport int not null default coalesce(inet_server_port(), current_setting('port')::int),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
create index job_run_details_jobid_idx on cron.job_run_details (jobid, runid desc);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

create function cron.job_cache_invalidate() returns trigger language plpgsql as $$
begin
  notify pg_cron;
  return null;
end
$$;
create trigger cron_job_cache_invalidate after insert or update or delete or truncate on cron.job
  for each statement execute function cron.job_cache_invalidate();

-- One value of a field: a name or a number; null when it is neither.
create function cron._field_value(word text, lowest int, names text[]) returns int
language sql immutable set search_path = '' as $$
  select coalesce(pg_catalog.array_position(names, pg_catalog.lower(word)) - 1 + lowest,
    case when word ~ '^[0-9]{1,9}$' then word::int end)
$$;

-- What a range sets. A reversed one is taken, and sets what pg_cron's bit arithmetic makes of it: from its start to the end
-- of that byte, and from the beginning of the other byte to its end; nothing where both are in one byte, or with a step.
create function cron._range_values(first int, last int, step int, lowest int) returns int[]
language sql immutable set search_path = '' as $$
  select coalesce(pg_catalog.array_agg(v + lowest order by v), '{}') from pg_catalog.generate_series(0, 63) v,
    (select first - lowest as f, last - lowest as l) r
  where case when f <= l then v between f and l and (v - f) % step = 0
    else step = 1 and f / 8 <> l / 8 and (v between f and f / 8 * 8 + 7 or v between l / 8 * 8 and l) end
$$;

-- The values of one field: '*', numbers, names, ranges, steps of ranges, and lists of them. What stands behind them up to
-- the next blank has no meaning. Null when it is no field.
create function cron._field_values(field text, lowest int, highest int, names text[] default '{}') returns int[]
language plpgsql immutable set search_path = '' as $$
declare
  found text[];
  rest text := field;
  first int;
  last int;
  step int;
  result int[] := '{}';
begin
  loop
    found := pg_catalog.regexp_match(rest, '^(?:(\*)|([0-9A-Za-z]+)(-[0-9A-Za-z]*)?)(.*)$');
    if found is null then
      return null;
    end if;
    first := case when found[1] is null then cron._field_value(found[2], lowest, names) else lowest end;
    last := case when found[1] is not null then highest when found[3] is null then first
      else cron._field_value(pg_catalog.substr(found[3], 2), lowest, names) end;
    if first is null or last is null or first not between lowest and highest or last not between lowest and highest then
      return null;
    end if;
    rest := found[4];
    step := 1;
    if rest like '/%' then
      if found[1] is null and found[3] is null then
        return null;
      end if;
      found := pg_catalog.regexp_match(rest, '^/([0-9A-Za-z]+)(.*)$');
      step := nullif(cron._field_value(found[1], 0, '{}'), 0);
      if step is null then
        return null;
      end if;
      rest := found[2];
    end if;
    result := result || cron._range_values(first, last, step, lowest);
    exit when rest not like ',%';
    rest := pg_catalog.substr(rest, 2);
  end loop;
  return result;
end
$$;

-- What a schedule says, as pg_cron 1.6.7 reads it: {seconds}, {reboot}, or {minute, hour, dom, month, dow: the values of each;
-- lastDay; both: whether the day must fit as a day of the month and of the week}. Null when it is no schedule.
create function cron._parse_schedule(schedule text) returns jsonb
language plpgsql immutable strict set search_path = '' as $$
declare
  found text[] := pg_catalog.regexp_match(schedule, '^\s*\+?([0-9]{1,9})\s*seconds?$', 'i');
  rest text := pg_catalog.regexp_replace(schedule, '^(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*', '');
  days text[] := '{sun,mon,tue,wed,thu,fri,sat,sun}';
  field record;
  token text;
  found_values int[];
  plan jsonb := '{"lastDay": false, "both": false}';
begin
  if found is not null then
    return case when found[1]::int between 1 and 59 then pg_catalog.jsonb_build_object('seconds', found[1]::int) end;
  end if;
  if pg_catalog.octet_length(schedule) >= 1000 then
    return null;
  end if;
  if rest like '@%' then
    case substring(rest from '^@([^ \t\n]*)')
      when 'reboot', 'restart' then return '{"reboot": true}';
      -- Month 0, which never comes: so it is in pg_cron.
      when 'yearly', 'annually' then return cron._parse_schedule('0 0 1 * *') || '{"month": []}';
      when 'monthly' then rest := '0 0 1 * *';
      when 'weekly' then rest := '0 0 * * 0';
      when 'daily', 'midnight' then rest := '0 0 * * *';
      when 'hourly' then rest := '0 * * * *';
      else return null;
    end case;
  end if;
  for field in
    select * from (values ('minute', 0, 59, '{}'::text[]), ('hour', 0, 23, '{}'), ('dom', 1, 31, '{}'),
      ('month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'), ('dow', 0, 7, days)) as f (name, low, high, names)
  loop
    token := substring(rest from '^[^ \t\n]*');
    rest := pg_catalog.regexp_replace(pg_catalog.substr(rest, pg_catalog.length(token) + 1), '^[ \t]*', '');
    if field.name = 'dom' and token = '$' then
      plan := plan || '{"lastDay": true, "dom": []}';
      continue;
    end if;
    found_values := cron._field_values(token, field.low, field.high, field.names);
    if found_values is null then
      return null;
    end if;
    plan := plan || pg_catalog.jsonb_build_object(field.name, found_values);
    if field.name in ('dom', 'dow') and token like '*%' then
      plan := plan || '{"both": true}';
    end if;
  end loop;
  return plan;
end
$$;

-- A change that a caller asks for. Callers may insert every column except `caller`, whose default names them: that is how
-- the definer function below, which alone may write cron.job, learns who calls without trusting an argument.
create table cron._change (
  caller name not null default current_user,
  action text not null,
  jobid bigint,
  jobname text,
  schedule text,
  command text,
  database text,
  username text,
  active boolean
);

-- Definer: only this function writes cron.job.
create function cron._apply_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  is_super boolean := (select rolsuper from pg_catalog.pg_roles where rolname = new.caller);
  entry cron.job;
begin
  if new.schedule is not null and cron._parse_schedule(new.schedule) is null then
    raise exception 'invalid schedule: %', new.schedule using
      errcode = '22023', hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
  if cron._parse_schedule(new.schedule) -> 'month' = '[]' then
    raise warning 'a job with the schedule % never runs in pg_cron', new.schedule using hint = 'Use 0 0 1 1 *';
  end if;
  if new.username is not null and not exists (select from pg_catalog.pg_roles where rolname = new.username) then
    raise exception 'role "%" does not exist', new.username using errcode = '42704';
  end if;
  if coalesce(new.username, new.caller) <> new.caller and not is_super then
    raise exception 'must be superuser to schedule a job for another role' using errcode = '42501';
  end if;

  if new.action = 'schedule' then
    if new.schedule is null or new.command is null then
      raise exception 'schedule and command must not be null' using errcode = '22004';
    end if;
    insert into cron.job as j (jobname, schedule, command, database, username, active)
    values (new.jobname, new.schedule, new.command, coalesce(new.database, pg_catalog.current_database()),
      coalesce(new.username, new.caller), coalesce(new.active, true))
    on conflict (jobname, username) do update
      set schedule = excluded.schedule, command = excluded.command, database = excluded.database,
          active = coalesce(new.active, j.active)
    returning j.jobid into new.jobid;
    return new;
  end if;

  select * into entry from cron.job
  where case when new.jobid is not null then cron.job.jobid = new.jobid
    else cron.job.jobname = new.jobname and cron.job.username = new.caller end;
  if not found then
    raise exception 'could not find valid entry for job %', coalesce(new.jobid::text, '''' || new.jobname || '''') using errcode = '22023';
  end if;
  if entry.username <> new.caller and not is_super then
    raise exception 'permission denied for table job' using errcode = '42501';
  end if;
  if new.action = 'unschedule' then
    delete from cron.job where cron.job.jobid = entry.jobid;
  else
    update cron.job set
      schedule = coalesce(new.schedule, entry.schedule), command = coalesce(new.command, entry.command),
      database = coalesce(new.database, entry.database), username = coalesce(new.username, entry.username),
      active = coalesce(new.active, entry.active)
    where cron.job.jobid = entry.jobid;
  end if;
  new.jobid := entry.jobid;
  return new;
end
$$;
create trigger apply_change before insert on cron._change for each row execute function cron._apply_change();

-- Definer: an applied change is no longer needed.
create function cron._forget_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from cron._change where true;
  return null;
end
$$;
create trigger forget_change after insert on cron._change for each statement execute function cron._forget_change();

create function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql volatile set search_path = '' as $$
  insert into cron._change (action, jobname, schedule, command) values ('schedule', job_name, schedule, command) returning jobid
$$;
create function cron.schedule(schedule text, command text) returns bigint
language sql volatile set search_path = '' as $$
  insert into cron._change (action, schedule, command) values ('schedule', schedule, command) returning jobid
$$;
create function cron.schedule_in_database(
  job_name text, schedule text, command text, database text, username text default null, active boolean default true
) returns bigint language sql volatile set search_path = '' as $$
  insert into cron._change (action, jobname, schedule, command, database, username, active)
  values ('schedule', job_name, schedule, command, database, username, active) returning jobid
$$;
create function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void language sql volatile set search_path = '' as $$
  insert into cron._change (action, jobid, schedule, command, database, username, active)
  values ('alter', job_id, schedule, command, database, username, active)
$$;
create function cron.unschedule(job_id bigint) returns boolean
language sql volatile set search_path = '' as $$
  insert into cron._change (action, jobid) values ('unschedule', job_id) returning true
$$;
create function cron.unschedule(job_name text) returns boolean
language sql volatile set search_path = '' as $$
  insert into cron._change (action, jobname) values ('unschedule', job_name) returning true
$$;

revoke all on function cron._apply_change(), cron._forget_change() from public;
grant select on cron.job to public;
grant select, delete on cron.job_run_details to public;
grant insert (action, jobid, jobname, schedule, command, database, username, active), select (jobid) on cron._change to public;

-- What hosted grants to `postgres` once the extension is there: jobs through the functions, never by writing the table.
grant usage on schema cron to postgres with grant option;
grant execute on all functions in schema cron to postgres with grant option;
revoke execute on function cron._apply_change(), cron._forget_change() from postgres;
grant select on cron.job to postgres with grant option;
grant select, insert, update, delete, truncate, references on cron.job_run_details to postgres with grant option;

notify pg_cron;
