"""The subcommands of `alexnet`, a file each."""
