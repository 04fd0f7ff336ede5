from tests.portal.fixtures import (  # noqa: F401
    deployment,
    editor,
    elsewhere,
    foreigner,
    new_run,
    operator,
    superuser,
    viewer,
    workspace,
)
