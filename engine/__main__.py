"""`python -m engine` is the `selfsight` command."""

from engine.cli import main

raise SystemExit(main())
