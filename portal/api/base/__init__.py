"""What all resources share: how they read bodies, page, shape and name rows, and tell what is wrong."""
