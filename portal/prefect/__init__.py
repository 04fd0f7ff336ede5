"""What only Prefect's clients speak: their events, and the sockets on which these come and go."""
