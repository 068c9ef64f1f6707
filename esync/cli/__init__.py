"""The command line: `esync` and `esync-console`."""
