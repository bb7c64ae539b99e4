-- Rate limits (fixed windows, per user) and idempotency keys.

-- Operators change a limit with an UPDATE; it counts from the next request.
create table public.rate_limits (
  bucket text primary key,
  max_requests integer not null,
  window_seconds integer not null,
  constraint rate_limits_positive check (max_requests >= 0 and window_seconds > 0)
);
alter table public.rate_limits enable row level security;
grant select on public.rate_limits to authenticated;
grant select, insert, update, delete on public.rate_limits to service_role;
create policy "users can read the limits" on public.rate_limits for select to authenticated using (true);
comment on table public.rate_limits is 'Requests per window and user: api, api_burst, rest_writes.';

insert into public.rate_limits (bucket, max_requests, window_seconds) values
  ('api', 100, 900), ('api_burst', 20, 60), ('rest_writes', 1000, 60);

-- Unlogged: losing counts in a crash costs a user nothing, and each request writes here. Both windows of a user in one
-- row, which is written in place: no column of an index changes. Direct requests have theirs apart: a gateway adds to
-- those of many users at once, and none of them must wait for another's launch.
create unlogged table private.api_counters (
  user_id uuid,
  api_starts timestamptz,
  api_used integer not null,
  burst_starts timestamptz,
  burst_used integer not null,
  constraint api_counters_pkey primary key (user_id)
) with (fillfactor = 50);
alter table private.api_counters enable row level security;
comment on table private.api_counters is
  'Requests to /api in the current windows of api and api_burst; one row per user.';

create unlogged table private.rate_counters (
  user_id uuid not null,
  bucket text not null,
  window_start timestamptz not null,
  used integer not null,
  constraint rate_counters_pkey primary key (user_id, bucket)
);
alter table private.rate_counters enable row level security;
comment on table private.rate_counters is 'Direct requests used in the current window; one row per user and bucket.';

-- Bucket → {limit, remaining (negative: over), reset (unix seconds)} of what a user has counted. Without the buckets
-- that have no limit or were not counted.
create function private.counted_api(used private.api_counters, api integer, api_seconds integer, burst integer,
  burst_seconds integer) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_object_agg(x.bucket, jsonb_build_object('limit', x.most, 'remaining', x.most - x.used,
      'reset', extract(epoch from x.starts)::bigint + x.seconds)), '{}')
    from (values ('api', api, used.api_used, used.api_starts, api_seconds),
      ('api_burst', burst, used.burst_used, used.burst_starts, burst_seconds)) as x (bucket, most, used,
        starts, seconds)
    where x.most is not null and x.used is not null);
end
$$;

-- Counts one request in each of `buckets`. Returns what private.counted_api does.
-- Locks the user's counter rows until commit.
create function private.count_request(of_user uuid, buckets text[]) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  counts jsonb;
begin
  with limits as (
    select l.bucket, l.max_requests, l.window_seconds,
           to_timestamp(floor(extract(epoch from now()) / l.window_seconds) * l.window_seconds) as starts
    from public.rate_limits l where l.bucket = any (buckets)
  ), counted as (
    insert into private.rate_counters as c (user_id, bucket, window_start, used)
    select of_user, l.bucket, l.starts, 1 from limits l order by l.bucket
    on conflict on constraint rate_counters_pkey do update set
      used = case when c.window_start = excluded.window_start then c.used + 1 else 1 end,
      window_start = excluded.window_start
    returning c.bucket, c.used
  )
  select coalesce(jsonb_object_agg(l.bucket, jsonb_build_object(
    'limit', l.max_requests,
    'remaining', l.max_requests - c.used,
    'reset', extract(epoch from l.starts)::bigint + l.window_seconds)), '{}')
    into counts
    from limits l join counted c using (bucket);
  return counts;
end
$$;
comment on function private.count_request(uuid, text[]) is 'Counts a request; returns what is left in each bucket.';

-- What is left of a bucket without counting.
create function private.remaining(of_user uuid, of_bucket text) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return (
  select greatest(0, l.max_requests - coalesce((
    select c.used from private.rate_counters c
    where c.user_id = of_user and c.bucket = l.bucket
      and c.window_start = to_timestamp(floor(extract(epoch from now()) / l.window_seconds) * l.window_seconds)), 0))
  from public.rate_limits l where l.bucket = of_bucket
);
end
$$;

-- A finished POST under its Idempotency-Key. A second request with the key waits on the primary key for the first.
create table private.idempotency_keys (
  user_id uuid not null references auth.users (id) on delete cascade,
  key text not null,
  request_hash text not null,
  status integer,
  response jsonb,
  created_at timestamptz not null default now(),
  constraint idempotency_keys_pkey primary key (user_id, key)
);
alter table private.idempotency_keys enable row level security;
create index idempotency_keys_created_at_idx on private.idempotency_keys (created_at);
comment on table private.idempotency_keys is 'Answers of POSTs by key, kept for a day.';
