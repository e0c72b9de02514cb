"""The search service's HTTP routes: parse, ask or act, serialise. They know no database."""
