"""`python -m alexnet.cli` is the command `alexnet`, for where that is not on PATH."""

from alexnet.cli.main import main

main()
