"""A queue in the memory of one process, for the tests of handlers and producers."""

from esync.memory.driver import MemoryDriver

__all__ = ["MemoryDriver"]
