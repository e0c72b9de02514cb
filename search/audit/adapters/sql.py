"""Every statement of the audit log's adapter, named. A test prepares each of them against the migrated schema."""

from typing import Final

DURABLE: Final = """
select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit')
"""

STATE: Final = "select size, root, frontier from audit.state()"

PUT_DATA_KEY: Final = "select audit.put_data_key($1, $2)"

APPEND: Final = "select first, size, root from audit.append($1, $2, $3, $4, $5, $6)"

HEAD: Final = "select size, root, frontier from audit.head"

ENTRIES: Final = """
select l.idx, l.at, l.leaf, s.data_key, k.wrapped, s.sealed, e.idx as end_idx, e.kind as end_kind
from audit.leaf l
left join audit.secret s on s.idx = l.idx
left join audit.data_key k on k.id = s.data_key
left join audit.leaf e on e.ends = l.idx
where l.idx > $1
  and ($2::text is null or l.kind = $2)
  and ($3::text is null or l.agency = $3)
  and ($4::text is null or l.purpose = $4)
  and ($5::timestamptz is null or l.at >= $5)
  and ($6::timestamptz is null or l.at < $6)
  and (cardinality($7::text[]) = 0 or l.idx in (
      select a.idx from audit.lookup a join unnest($7::text[], $8::bytea[]) as w (field, mac) using (field, mac)
      group by a.idx having count(*) = cardinality($7::text[])
  ))
order by l.idx
limit $9
"""

UNENDED: Final = """
select l.idx, coalesce(l.agency, '') as agency, l.at < clock_timestamp() - make_interval(secs => $2) as due
from audit.leaf l
where l.idx >= $1 and l.kind in ('intent', 'page') and not exists (select from audit.leaf e where e.ends = l.idx)
order by l.idx
limit $3
"""

SNAPSHOT: Final = "begin transaction isolation level repeatable read, read only"

ROWS: Final = """
select idx, leaf, hash, place, kind, ends, agency, purpose from audit.leaf order by idx
"""

APPENDING: Final = ("DURABLE", "STATE", "PUT_DATA_KEY", "APPEND")
"""Statements of every role that appends; the others are the auditing role's."""
