from tests.portal.fixtures import (  # noqa: F401
    deployment,
    editor,
    elsewhere,
    foreigner,
    member,
    new_run,
    operator,
    outsider,
    superuser,
    viewer,
    workspace,
)
