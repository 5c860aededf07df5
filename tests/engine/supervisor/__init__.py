"""The real supervisor process, spoken to over its real socket."""
