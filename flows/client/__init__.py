"""Where Prefect has its client: the names of it that flow code imports."""
