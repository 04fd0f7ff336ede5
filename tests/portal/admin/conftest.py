from tests.portal.fixtures import (  # noqa: F401
    deployment,
    elsewhere,
    member,
    outsider,
    superuser,
    workspace,
)
