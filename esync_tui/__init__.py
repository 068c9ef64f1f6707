"""esync-console: the terminal console of the queue. The only package that knows Textual."""
