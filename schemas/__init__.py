"""Every shape that crosses a process boundary: topics, tables, messages, entries."""
