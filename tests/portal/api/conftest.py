from tests.portal.fixtures import (  # noqa: F401
    admin,
    deployment,
    editor,
    elsewhere,
    foreigner,
    new_run,
    operator,
    viewer,
    workspace,
)
