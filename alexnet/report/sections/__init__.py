"""The sections of the report, a topic a file; each turns results into text, tables and pictures."""
