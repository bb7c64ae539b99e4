-- The permission that /api/security/events takes, in the rows' own policies, for every other door. Owner and permission in one
-- condition: see docs/adr/0062.
alter policy "users can read their security events" on public.security_events
  using (user_id = (select private.reader('monitoring:read')));
alter policy "users can read their scans" on public.security_scans
  using (user_id = (select private.reader('monitoring:read')));
