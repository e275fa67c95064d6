"""Rows, and the domains they belong to."""
