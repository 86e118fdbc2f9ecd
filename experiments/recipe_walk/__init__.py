"""Which of the published settings trains: from the paper to the source and on, one setting at a time."""
