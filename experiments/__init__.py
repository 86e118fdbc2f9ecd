"""What the project found out beside its pipeline; each folder is a DVC pipeline of its own."""
