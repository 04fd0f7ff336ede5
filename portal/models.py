from portal.access.models import ApiToken

__all__ = ["ApiToken"]
