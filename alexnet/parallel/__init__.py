"""One network on several devices: processes, columns, replicas."""
