"""REST: `urls.py` lists the routes; a resource is a module, or a package whose routes are in `routes.py`."""
