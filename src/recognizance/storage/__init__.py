"""What is kept: the database, and the objects that pictures are read from."""
