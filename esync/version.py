"""The version of esync, read by the build and by `esync --version`."""

__version__ = "0.1.0"
