"""The screens of the console: each shows a picture of the queue and posts what is wanted."""
