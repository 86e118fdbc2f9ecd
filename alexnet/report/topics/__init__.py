"""The topics of the report, one per file: each turns facts into text, tables and figures."""
