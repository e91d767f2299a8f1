"""Capabilities with I/O and no business noun: database, events, jobs, web, files."""
