"""Faces and users in collections: what is stored, how it is searched, and who belongs to whom."""
