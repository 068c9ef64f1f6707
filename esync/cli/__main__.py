"""Run the command line: python -m esync.cli."""

from __future__ import annotations

from esync.cli.main import main

main()
