"""Views of an audit record, each made safe for its medium."""
