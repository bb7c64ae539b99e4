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

-- One field of a schedule: '*', numbers, names, ranges, steps and lists of them.
create function cron._field_is_valid(field text, lowest int, highest int, names text[] default '{}') returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  part text;
  found text[];
  first int;
  last int;
begin
  foreach part in array pg_catalog.string_to_array(pg_catalog.lower(field), ',') loop
    found := pg_catalog.regexp_match(part, '^(?:(\*)|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]{1,3}))?$');
    if found is null or found[4]::int = 0 then
      return false;
    end if;
    if found[1] is null then
      first := cron._field_value(found[2], lowest, highest, names);
      last := case when found[3] is null then first else cron._field_value(found[3], lowest, highest, names) end;
      if first is null or last is null or last < first then
        return false;
      end if;
    end if;
  end loop;
  return true;
end
$$;
create function cron._field_value(word text, lowest int, highest int, names text[]) returns int
language sql immutable set search_path = '' as $$
  select v from (
    select case when word ~ '^[0-9]{1,3}$' then word::int
      else pg_catalog.array_position(names, word) - 1 + lowest end as v
  ) s where v between lowest and highest
$$;

-- '30 seconds' (1–59), five fields, '$' for the last day of a month, or a nickname such as '@hourly'.
create function cron._schedule_is_valid(schedule text) returns boolean
language plpgsql immutable strict set search_path = '' as $$
declare
  fields text[] := pg_catalog.regexp_split_to_array(pg_catalog.btrim(schedule), '\s+');
begin
  if pg_catalog.lower(pg_catalog.btrim(schedule)) ~ '^([1-9]|[1-5][0-9])\s+seconds?$' then
    return true;
  end if;
  if pg_catalog.lower(pg_catalog.btrim(schedule)) in ('@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly') then
    return true;
  end if;
  return pg_catalog.array_length(fields, 1) = 5
    and cron._field_is_valid(fields[1], 0, 59)
    and cron._field_is_valid(fields[2], 0, 23)
    and (fields[3] = '$' or cron._field_is_valid(fields[3], 1, 31))
    and cron._field_is_valid(fields[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}')
    and cron._field_is_valid(fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
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
  if new.schedule is not null and not cron._schedule_is_valid(new.schedule) then
    raise exception 'invalid schedule: %', new.schedule using
      errcode = '22023', hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
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
