"""Run the command line: python -m esync."""

from __future__ import annotations

from esync.cli.main import main

main()
