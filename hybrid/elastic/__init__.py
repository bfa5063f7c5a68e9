"""The only importer of `elasticsearch`: client, capabilities, pure body builders, bulk, indices, stores."""
