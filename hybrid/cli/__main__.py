"""`python -m hybrid.cli`: the `hybrid` command."""

from hybrid.cli.main import main

main()
