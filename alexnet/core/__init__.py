"""What every other folder may use: errors, files, processes, parameters, randomness."""
