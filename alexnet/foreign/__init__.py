"""Networks in other programs' forms; nothing else here knows of those."""
