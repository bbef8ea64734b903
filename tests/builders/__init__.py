"""What several test modules build: documents, runs on disk, stand-ins for a gateway and a stack."""
