-- The permission that /api/security/events takes, in the rows' own policies, for every other door.
create policy "reading security events takes monitoring:read" on public.security_events as restrictive for select to authenticated
  using ((select private.may('monitoring:read')));
create policy "reading scans takes monitoring:read" on public.security_scans as restrictive for select to authenticated
  using ((select private.may('monitoring:read')));
