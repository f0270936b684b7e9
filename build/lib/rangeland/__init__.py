"""The Cluster API for PostgreSQL."""

__version__ = "0.1.0"
