"""What lies on disk between the stages: the index, the records, their statistics."""
