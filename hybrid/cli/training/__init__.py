"""The commands that train models and look after their versions, one family a file."""
