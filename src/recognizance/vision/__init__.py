"""Pictures in, detections out. Knows no database, no HTTP and no people's names."""
