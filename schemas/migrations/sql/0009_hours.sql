-- Days of retention have 24 hours, whatever time zone a server or a session has: where clocks are put forward or back, a
-- day of the calendar has 23 or 25, and the gate would show a read for an hour longer than its owner keeps it.
alter function gate.trajectory(bigint, bytea) set timezone to 'UTC';
alter function reads.purge(text, timestamptz) set timezone to 'UTC';
