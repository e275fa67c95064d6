"""A small world in which every claim can be checked on a laptop."""
