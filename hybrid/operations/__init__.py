"""The verbs of the command line and of the admin page: index, attach, sync, reindex, retry, doctor."""
