"""Views of an audit record, each safe for where it is read."""
