"""The widgets of the console: they are given pieces of text and post messages."""
