"""What changes from release to release: reviewer's notes, a pull request's comment, a history."""
