-- The SQL half of pg_net. Requests queue in a table inside the caller's transaction; NOTIFY, which PostgreSQL delivers at
-- COMMIT, wakes workers/net-worker.ts. A rolled back transaction therefore sends nothing.

create schema net;

create domain net.http_method as text check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);
-- The worker takes the oldest rows first.
create index http_request_queue_id_idx on net.http_request_queue (id);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);
create index _http_response_created_idx on net._http_response (created);
create index _http_response_id_idx on net._http_response (id);

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (status net.request_status, message text, response net.http_response);

create function net._wake_worker() returns trigger language plpgsql as $$
begin
  notify pg_net;
  return null;
end
$$;
create trigger wake_worker after insert on net.http_request_queue
  for each statement execute function net._wake_worker();

create function net._urlencode_string(string varchar) returns text
language sql immutable strict set search_path = '' as $$
  select coalesce(pg_catalog.string_agg(
    case when byte between 48 and 57 or byte between 65 and 90 or byte between 97 and 122 or byte in (45, 46, 95, 126)
      then pg_catalog.chr(byte) else '%' || pg_catalog.upper(pg_catalog.lpad(pg_catalog.to_hex(byte), 2, '0')) end,
    '' order by i), '')
  from (select pg_catalog.convert_to(string, 'UTF8') as bytes) b,
    pg_catalog.generate_series(0, pg_catalog.length(b.bytes) - 1) as i,
    lateral (select pg_catalog.get_byte(b.bytes, i) as byte) c
$$;

-- url plus params as a query string.
create function net._url_with_params(url text, params jsonb) returns text
language plpgsql immutable set search_path = '' as $$
begin
  -- Most requests have none; an aggregate over nothing would cost a third of such a request.
  if coalesce(params, '{}') = '{}' then
    return url;
  end if;
  return (
    select url || coalesce(
      case when pg_catalog.strpos(url, '?') > 0 then '&' else '?' end || pg_catalog.string_agg(
        net._urlencode_string(p.key) || '=' || net._urlencode_string(coalesce(p.value, '')), '&'), '')
    from pg_catalog.jsonb_each_text(params) as p);
end
$$;

create function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000
) returns bigint language sql volatile strict set search_path = '' as $$
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._url_with_params(url, params), headers, timeout_milliseconds)
  returning id
$$;

create function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}', timeout_milliseconds int default 5000
) returns bigint language plpgsql volatile set search_path = '' as $$
declare
  content_type text := (
    select h.value from pg_catalog.jsonb_each_text(coalesce(headers, '{}')) as h where pg_catalog.lower(h.key) = 'content-type' limit 1);
  request_id bigint;
begin
  if content_type is null then
    headers := coalesce(headers, '{}') || '{"Content-Type": "application/json"}';
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('POST', net._url_with_params(url, params), headers, pg_catalog.convert_to(body::text, 'UTF8'), timeout_milliseconds)
  returning id into request_id;
  return request_id;
end
$$;

create function net.http_delete(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000, body jsonb default null
) returns bigint language sql volatile set search_path = '' as $$
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('DELETE', net._url_with_params(url, params), headers, pg_catalog.convert_to(body::text, 'UTF8'), timeout_milliseconds)
  returning id
$$;

-- The answer to a request, if it has come. async := false waits for it (only in a transaction that began after the commit).
create function net._http_collect_response(request_id bigint, async bool default true) returns net.http_response_result
language plpgsql volatile strict set search_path = '' as $$
declare
  answer net._http_response;
begin
  loop
    select * into answer from net._http_response where id = request_id;
    exit when found or async;
    perform pg_catalog.pg_sleep(0.05);
  end loop;
  if answer.id is null then
    if exists (select from net.http_request_queue where id = request_id) then
      return row('PENDING', 'request is pending processing', null)::net.http_response_result;
    end if;
    return row('ERROR', 'request matching request_id not found', null)::net.http_response_result;
  end if;
  return row(
    case when answer.error_msg is null then 'SUCCESS' else 'ERROR' end,
    coalesce(answer.error_msg, 'ok'),
    row(answer.status_code, answer.headers, answer.content)::net.http_response)::net.http_response_result;
end
$$;

-- As in pg_net itself: any role may queue requests, and may read the queue. Never queue a long-lived secret.
grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;
