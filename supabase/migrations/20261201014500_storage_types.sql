-- Storage compares types with their parameters, and clients add `;charset=UTF-8` to texts by themselves. A list that an
-- operator changed keeps what it has.
update storage.buckets b set allowed_mime_types = b.allowed_mime_types
    || array(select t from unnest(more.types) t where t <> all (b.allowed_mime_types))
from (values
    ('agent-assets', array['text/plain;charset=UTF-8', 'text/markdown;charset=UTF-8', 'text/csv;charset=UTF-8',
      'application/json;charset=UTF-8']),
    ('agent-backups', array['application/json;charset=UTF-8', 'text/plain;charset=UTF-8'])) as more (id, types)
where b.id = more.id and b.allowed_mime_types @> array['application/json'];
