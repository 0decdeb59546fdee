"""Views of an audit record."""
