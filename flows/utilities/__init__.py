"""Small helpers, where Prefect users look for them."""
